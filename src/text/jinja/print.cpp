#include "text/jinja/print.h"

#include "text/jinja/text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace trine::jinja {
namespace {

void append_repr(Budget& budget, std::string& out, const Value& value);

void append_items(Budget& budget, std::string& out, const std::vector<Value>& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(budget, out, items[i]);
  }
}
void append_dict(Budget& budget, std::string& out, const Dict& dict) {
  out += '{';
  for (std::size_t i = 0; i < dict.entries.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(budget, out, dict.entries[i].first);
    out += ": ";
    append_repr(budget, out, dict.entries[i].second);
  }
  out += '}';
}
void append_view(Budget& budget, std::string& out, const DictView& view, std::string_view name) {
  out.append(name).append("([");
  bool first = true;
  for (const auto& [key, value] : view.dict.dict().entries) {
    if (!first) out += ", ";
    first = false;
    if (view.part == DictView::Part::items) out += '(';
    if (view.part != DictView::Part::values) append_repr(budget, out, key);
    if (view.part == DictView::Part::items) out += ", ";
    if (view.part != DictView::Part::keys) append_repr(budget, out, value);
    if (view.part == DictView::Part::items) out += ')';
  }
  out += "])";
}
void append_namespace(Budget& budget, std::string& out, const Namespace& name_space) {
  out += "<Namespace {";
  bool first = true;
  for (const auto& [name, value] : name_space.attributes) {
    if (!first) out += ", ";
    first = false;
    out.append(quoted_text(name)).append(": ");
    append_repr(budget, out, value);
  }
  out += "}>";
}

void append_repr(Budget& budget, std::string& out, const Value& value) {
  const Budget::Deeper deeper(budget);
  budget.check_text(out.size());
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
      out += "Undefined";
      return;
    case Kind::none:
      out += "None";
      return;
    case Kind::boolean:
      out += value.as_boolean() ? "True" : "False";
      return;
    case Kind::integer:
      out += std::to_string(value.as_integer());
      return;
    case Kind::real:
      out += real_text(value.as_real());
      return;
    case Kind::text: {
      budget.charge_bytes(value.text().size());
      const std::string text = quoted_text(value.text());
      out += value.is_markup() ? fmt::format("Markup({})", text) : text;
      return;
    }
    case Kind::list:
      out += '[';
      append_items(budget, out, value.items());
      out += ']';
      return;
    case Kind::tuple:
      out += '(';
      append_items(budget, out, value.items());
      out += value.items().size() == 1 ? ",)" : ")";
      return;
    case Kind::dict:
      append_dict(budget, out, value.dict());
      return;
    case Kind::dict_view:
      append_view(budget, out, value.as<DictView>(), type_name(value));
      return;
    case Kind::range: {
      const auto& range = value.as<Range>();
      out += range.step == 1 ? fmt::format("range({}, {})", range.start, range.stop)
                             : fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
      return;
    }
    case Kind::name_space:
      append_namespace(budget, out, value.as<Namespace>());
      return;
    default:
      raise_unsupported(fmt::format("printing a {} is not supported", type_name(value)));
  }
}

}  // namespace

void append_text(Budget& budget, std::string& out, const Value& value) {
  if (value.is(Kind::text)) {
    budget.charge_bytes(value.text().size());
    out += value.text();
  } else if (!value.is(Kind::undefined)) {
    append_repr(budget, out, value);
  }
  budget.check_text(out.size());
}
std::string to_text(Budget& budget, const Value& value) {
  std::string out;
  append_text(budget, out, value);
  return out;
}
std::string repr(Budget& budget, const Value& value) {
  std::string out;
  append_repr(budget, out, value);
  budget.check_text(out.size());
  return out;
}

std::string quoted_text(std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = character_at(text, at);
    if (code == static_cast<unsigned char>(quote) || code == '\\')
      out.append(1, '\\').append(1, static_cast<char>(code));
    else if (code == '\n')
      out += "\\n";
    else if (code == '\r')
      out += "\\r";
    else if (code == '\t')
      out += "\\t";
    else if (is_printable(code) || code > 0x10FFFF)
      out += text.substr(at, length);
    else if (code < 0x100)
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(code));
    else if (code < 0x10000)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(code));
    else
      out += fmt::format("\\U{:08x}", static_cast<unsigned>(code));
    at += length;
  }
  return out + quote;
}

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // The shortest digits that read back as the same number, as "d.dde±xx".
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = shortest.find('e');
  std::string sign, digits;
  for (const char c : shortest.substr(0, e)) {
    if (c == '-') sign = "-";
    if (c >= '0' && c <= '9') digits += c;
  }
  int exponent = 0;
  const std::size_t number = shortest[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(shortest.data() + number, shortest.data() + shortest.size(), exponent);
  const int n_digits = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    const std::string fraction = n_digits > 1 ? "." + digits.substr(1) : "";
    return fmt::format("{}{}{}e{}{:02}", sign, digits[0], fraction, exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  if (n_digits <= exponent + 1)
    return sign + digits + std::string(static_cast<std::size_t>(exponent + 1 - n_digits), '0') + ".0";
  const auto whole = static_cast<std::size_t>(exponent + 1);
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

}  // namespace trine::jinja
