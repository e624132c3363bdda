#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trine::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Budget& budget, const JsonStyle& style) : budget_(budget), style_(style) {}

  void write(const Value& value) {
    const Budget::Deeper deeper(budget_);
    budget_.check_text(out_.size());
    switch (value.kind()) {
      case Kind::none:
        out_ += "null";
        return;
      case Kind::boolean:
        out_ += value.as_boolean() ? "true" : "false";
        return;
      case Kind::integer:
        out_ += std::to_string(value.as_integer());
        return;
      case Kind::real:
        out_ += number(value.as_real());
        return;
      case Kind::text:
        write_text(value.text());
        return;
      case Kind::list:
      case Kind::tuple:
        write_list(value.items());
        return;
      case Kind::dict:
        write_dict(value.dict());
        return;
      default:
        raise_type(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
  }
  std::string finish() {
    budget_.check_text(out_.size());
    return std::move(out_);
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return real_text(value);
  }

  void write_escape(char32_t code) {
    switch (code) {
      case '"':
        out_ += "\\\"";
        return;
      case '\\':
        out_ += "\\\\";
        return;
      case '\n':
        out_ += "\\n";
        return;
      case '\r':
        out_ += "\\r";
        return;
      case '\t':
        out_ += "\\t";
        return;
      case '\b':
        out_ += "\\b";
        return;
      case '\f':
        out_ += "\\f";
        return;
      default:
        if (code >= 0x10000) {
          const auto above = static_cast<unsigned>(code - 0x10000);
          out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (above >> 10), 0xDC00 + (above & 0x3FF));
        } else {
          out_ += fmt::format("\\u{:04x}", static_cast<unsigned>(code));
        }
    }
  }
  void write_text(std::string_view text) {
    budget_.charge_bytes(text.size());
    out_ += '"';
    for (std::size_t at = 0; at < text.size();) {
      const auto [code, length] = character_at(text, at);
      const bool past_ascii = code >= 0x7F && code <= 0x10FFFF;
      if (code == '"' || code == '\\' || code < 0x20 || (style_.ensure_ascii && past_ascii && code != 0x7F))
        write_escape(code);
      else
        out_ += text.substr(at, length);
      at += length;
    }
    out_ += '"';
  }

  void new_line() {
    if (!style_.indent) return;
    out_ += '\n';
    budget_.check_text(out_.size() + style_.indent->size() * level_);
    for (std::size_t i = 0; i < level_; ++i) out_ += *style_.indent;
  }
  void write_list(const std::vector<Value>& items) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    ++level_;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line();
      write(items[i]);
    }
    --level_;
    new_line();
    out_ += ']';
  }
  void write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::text:
        write_text(key.text());
        return;
      case Kind::none:
      case Kind::boolean:
      case Kind::integer:
      case Kind::real:
        out_ += '"';
        write(key);
        out_ += '"';
        return;
      default:
        raise_type(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
    }
  }
  void write_dict(const Dict& dict) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return;
    }
    std::vector<std::pair<Value, Value>> sorted;
    if (style_.sort_keys) {
      sorted = dict.entries;
      sort_values(budget_, sorted, [](const auto& entry) -> const Value& { return entry.first; });
    }
    out_ += '{';
    ++level_;
    bool first = true;
    for (const auto& [key, value] : style_.sort_keys ? sorted : dict.entries) {
      if (!first) out_ += style_.item_separator;
      first = false;
      new_line();
      write_key(key);
      out_ += style_.key_separator;
      write(value);
    }
    --level_;
    new_line();
    out_ += '}';
  }

  Budget& budget_;
  const JsonStyle& style_;
  std::string out_;
  std::size_t level_ = 0;
};

}  // namespace

std::string json_text(Budget& budget, const Value& value, const JsonStyle& style) {
  JsonWriter writer(budget, style);
  writer.write(value);
  return writer.finish();
}

}  // namespace trine::jinja
