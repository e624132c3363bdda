// The methods of str.
#include "text/jinja/arguments.h"
#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace trine::jinja {
namespace {

using std::optional;
using std::string;
using std::string_view;

// A call of a method of str.
struct TextCall {
  Interpreter& interpreter;
  const Value& self;
  string_view name;
  const Arguments& arguments;

  Budget& budget() const { return interpreter.budget(); }
  string_view text() const { return self.text(); }
  // Parameters with a leading "!" are required.
  std::vector<Value> bound(std::initializer_list<string_view> names) const {
    Signature signature{.function = name, .type = "str"};
    signature.by_name = name == "split" || name == "rsplit" || name == "splitlines" || name == "expandtabs";
    for (const string_view parameter : names) {
      const bool required = parameter[0] == '!';
      signature.parameters.push_back({parameter.substr(required ? 1 : 0), required});
    }
    return bind(signature, arguments);
  }
  Value made(string bytes) const { return budget().text(std::move(bytes), self.is_markup()); }
  string taken(const Value& value, string_view role) const {
    if (!value.is(Kind::text))
      raise_type(fmt::format("{}must be str, not {}", role.empty() ? "" : fmt::format("{}() {} ", name, role),
                             type_name(value)));
    budget().charge_bytes(value.text().size());
    return string(value.text());
  }
  // What comes into a text: a markup escapes it first.
  string taken_up(const Value& value, string_view role) const {
    string text = taken(value, role);
    return self.is_markup() && !value.is_markup() ? escape_html(text) : text;
  }
  Value texts(const std::vector<string_view>& parts) const {
    std::vector<Value> items;
    budget().charge(parts.size());
    items.reserve(parts.size());
    for (const string_view part : parts) items.push_back(made(string(part)));
    return budget().list(std::move(items));
  }
};

template <string (*F)(string_view)>
Value changed(const TextCall& call) {
  call.bound({});
  return call.made(F(call.text()));
}

Value stripped(const TextCall& call) {
  const Value chosen = call.bound({"chars"})[0];
  optional<string> characters;
  if (given(chosen)) {
    if (!chosen.is(Kind::text)) raise_type(fmt::format("{} arg must be None or str", call.name));
    characters = call.taken(chosen, "");
    call.budget().charge(characters->size());  // they are sorted
  }
  return call.made(string(strip(call.text(), characters, call.name != "rstrip", call.name != "lstrip")));
}

Value parts(const TextCall& call) {
  const auto bound = call.bound({"sep", "maxsplit"});
  const std::int64_t limit = whole_argument(bound[1], -1);
  optional<string> separator;
  if (given(bound[0])) {
    if (!bound[0].is(Kind::text)) raise_type(fmt::format("must be str or None, not {}", type_name(bound[0])));
    separator = call.taken(bound[0], "");
    if (separator->empty()) raise_value("empty separator");
  }
  return call.texts(call.name == "split" ? split(call.text(), separator, limit)
                                         : split_from_right(call.text(), separator, limit));
}
Value lines(const TextCall& call) {
  const Value keep = call.bound({"keepends"})[0];
  return call.texts(split_lines(call.text(), !keep.is(Kind::missing) && truth(keep)));
}
Value partitioned(const TextCall& call) {
  const string separator = call.taken(call.bound({"!sep"})[0], "argument");
  if (separator.empty()) raise_value("empty separator");
  const string_view text = call.text();
  const bool first = call.name == "partition";
  const std::size_t at = first ? find_text(text, separator) : find_last(text, separator);
  const auto three = [&](string_view a, string_view b, string_view c) {
    return call.budget().tuple({call.made(string(a)), call.made(string(b)), call.made(string(c))});
  };
  if (at == string_view::npos) return first ? three(text, "", "") : three("", "", text);
  return three(text.substr(0, at), separator, text.substr(at + separator.size()));
}

Value joined(const TextCall& call) {
  const Value items = call.bound({"!iterable"})[0];
  if (!is_iterable(items)) raise_type("can only join an iterable");
  Cursor cursor(call.budget(), items);
  string out;
  Value item;
  for (std::size_t i = 0; cursor.next(item); ++i) {
    if (i > 0) out += call.text();
    if (call.self.is_markup() && !item.is(Kind::text))
      item = call.budget().text(to_text(call.budget(), item));
    if (!item.is(Kind::text))
      raise_type(fmt::format("sequence item {}: expected str instance, {} found", i, type_name(item)));
    call.budget().charge_bytes(call.text().size() + item.text().size());
    out += call.taken_up(item, "");
    call.budget().check_text(out.size());
  }
  return call.made(std::move(out));
}

Value replaced(const TextCall& call) {
  const auto bound = call.bound({"!old", "!new", "count"});
  const string old = call.taken(bound[0], "argument 1"), with = call.taken_up(bound[1], "argument 2");
  return replaced_text(call.budget(), call.text(), old, with, whole_argument(bound[2], -1),
                       call.self.is_markup());
}

// The part of the text that [start:end] of find, count, startswith and the like names, as byte offsets;
// nothing when it is no part.
optional<std::pair<std::size_t, std::size_t>> window(const TextCall& call, const Value& start,
                                                     const Value& end) {
  const auto size = static_cast<std::int64_t>(count_characters(call.text()));
  const auto place = [&](const Value& value, std::int64_t otherwise) {
    if (!given(value)) return otherwise;
    if (!value.is_whole()) raise_type("slice indices must be integers or None or have an __index__ method");
    const std::int64_t at = value.as_integer();
    return at < 0 ? std::max<std::int64_t>(at + size, 0) : at;
  };
  const std::int64_t from = place(start, 0), to = std::min(place(end, size), size);
  if (from > to) return std::nullopt;
  return std::pair(offset_of(call.text(), static_cast<std::size_t>(from)),
                   offset_of(call.text(), static_cast<std::size_t>(to)));
}

Value found(const TextCall& call) {
  const auto bound = call.bound({"!sub", "start", "end"});
  const string what = call.taken(bound[0], "");
  const auto part = window(call, bound[1], bound[2]);
  call.budget().charge_bytes(call.text().size());
  std::int64_t at = -1;
  if (part) {
    const string_view within = call.text().substr(part->first, part->second - part->first);
    const bool last = call.name[0] == 'r';
    const std::size_t offset = last ? find_last(within, what) : find_text(within, what);
    if (offset != string_view::npos)
      at = static_cast<std::int64_t>(count_characters(call.text().substr(0, part->first + offset)));
  }
  if (at < 0 && call.name.ends_with("index")) raise_value("substring not found");
  return Value::integer(at);
}
Value counted(const TextCall& call) {
  const auto bound = call.bound({"!sub", "start", "end"});
  const string what = call.taken(bound[0], "");
  const auto part = window(call, bound[1], bound[2]);
  call.budget().charge_bytes(call.text().size());
  if (!part) return Value::integer(0);
  return Value::integer(static_cast<std::int64_t>(
      count_text(call.text().substr(part->first, part->second - part->first), what)));
}
Value begins_or_ends(const TextCall& call) {
  const auto bound = call.bound({"!affix", "start", "end"});
  const auto part = window(call, bound[1], bound[2]);
  const auto matches = [&](const Value& affix) {
    const string_view within =
        part ? call.text().substr(part->first, part->second - part->first) : string_view();
    return part &&
           (call.name == "startswith" ? within.starts_with(affix.text()) : within.ends_with(affix.text()));
  };
  if (bound[0].is(Kind::text)) return Value::boolean(matches(bound[0]));
  if (!bound[0].is(Kind::tuple))
    raise_type(
        fmt::format("{} first arg must be str or a tuple of str, not {}", call.name, type_name(bound[0])));
  for (const Value& affix : bound[0].items()) {
    if (!affix.is(Kind::text))
      raise_type(fmt::format("tuple for {} must only contain str, not {}", call.name, type_name(affix)));
    call.budget().charge_bytes(affix.text().size());
    if (matches(affix)) return Value::boolean(true);
  }
  return Value::boolean(false);
}
Value without_affix(const TextCall& call) {
  const string affix = call.taken(call.bound({"!affix"})[0], "argument");
  string_view text = call.text();
  if (call.name == "removeprefix" && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (call.name == "removesuffix" && text.ends_with(affix)) text.remove_suffix(affix.size());
  return call.made(string(text));
}

Value padded(const TextCall& call) {
  const auto bound = call.bound({"!width", "fillchar"});
  const string fill = bound[1].is(Kind::missing) ? " " : call.taken_up(bound[1], "argument 2");
  if (count_characters(fill) != 1) raise_type("The fill character must be exactly one character long");
  const std::int64_t size = length(call.self), missing = whole_argument(bound[0], 0) - size;
  if (missing <= 0) return call.made(string(call.text()));
  // As CPython centres: the odd one goes left when the width is odd too.
  const std::int64_t left = call.name == "ljust"   ? 0
                            : call.name == "rjust" ? missing
                                                   : missing / 2 + (missing & (missing + size) & 1);
  call.budget().check_text(static_cast<std::size_t>(missing));
  call.budget().charge_bytes(static_cast<std::size_t>(missing) * fill.size());
  string out;
  for (std::int64_t i = 0; i < left; ++i) out += fill;
  out += call.text();
  for (std::int64_t i = left; i < missing; ++i) out += fill;
  return call.made(std::move(out));
}
Value zero_filled(const TextCall& call) {
  const std::int64_t missing = whole_argument(call.bound({"!width"})[0], 0) - length(call.self);
  string out(call.text());
  if (missing > 0) {
    call.budget().check_text(static_cast<std::size_t>(missing));
    out.insert(!out.empty() && (out[0] == '-' || out[0] == '+') ? 1 : 0, static_cast<std::size_t>(missing),
               '0');
  }
  return call.made(std::move(out));
}
Value tabs_expanded(const TextCall& call) {
  const std::int64_t size = whole_argument(call.bound({"tabsize"})[0], 8);
  string out;
  std::int64_t column = 0;
  for (std::size_t at = 0; at < call.text().size();) {
    const auto [code, bytes] = character_at(call.text(), at);
    if (code == '\t') {
      const std::int64_t spaces = size > 0 ? size - column % size : 0;
      call.budget().check_text(out.size() + static_cast<std::size_t>(spaces));
      call.budget().charge_bytes(static_cast<std::size_t>(spaces));
      out.append(static_cast<std::size_t>(spaces), ' ');
      column += spaces;
    } else {
      out += call.text().substr(at, bytes);
      column = code == '\n' || code == '\r' ? 0 : column + 1;
    }
    at += bytes;
  }
  return call.made(std::move(out));
}

template <bool (*F)(char32_t)>
Value all_are(const TextCall& call) {
  call.bound({});
  const auto codes = characters(call.text());
  return Value::boolean(!codes.empty() && std::all_of(codes.begin(), codes.end(), F));
}
bool is_alphanumeric(char32_t code) {
  return is_alphabetic(code) || is_numeric(code);
}
Value has_case(const TextCall& call) {
  call.bound({});
  bool any = false, word = false;
  for (const char32_t code : characters(call.text())) {
    const bool lower = is_lowercase(code), upper = is_uppercase(code) || is_titlecase(code);
    if (call.name == "istitle" && ((upper && word) || (lower && !word))) return Value::boolean(false);
    if (call.name == "islower" && upper) return Value::boolean(false);
    if (call.name == "isupper" && (lower || is_titlecase(code))) return Value::boolean(false);
    word = lower || upper;
    any = any || word;
  }
  return Value::boolean(any);
}
Value ascii(const TextCall& call) {
  call.bound({});
  return Value::boolean(is_ascii(call.text()));
}
Value printable(const TextCall& call) {
  call.bound({});
  const auto codes = characters(call.text());
  return Value::boolean(std::all_of(codes.begin(), codes.end(), is_printable));
}
Value casefolded(const TextCall& call) {
  call.bound({});
  if (!is_ascii(call.text())) raise_unsupported("casefold() of text past ASCII is not supported");
  return call.made(lower(call.text()));
}
Value formatted(const TextCall& call) {
  return format_braces(call.interpreter, call.self, call.arguments);
}
Value not_there(const TextCall& call) {
  raise_unsupported(fmt::format("the method str.{}() is not supported", call.name));
}

struct Entry {
  string_view name;
  Value (*call)(const TextCall&);
};
constexpr Entry text_methods[] = {
    {"capitalize", changed<capitalize>},
    {"casefold", casefolded},
    {"center", padded},
    {"count", counted},
    {"encode", not_there},
    {"endswith", begins_or_ends},
    {"expandtabs", tabs_expanded},
    {"find", found},
    {"format", formatted},
    {"format_map", not_there},
    {"index", found},
    {"isalnum", all_are<is_alphanumeric>},
    {"isalpha", all_are<is_alphabetic>},
    {"isascii", ascii},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isidentifier", not_there},
    {"islower", has_case},
    {"isnumeric", all_are<is_numeric>},
    {"isprintable", printable},
    {"isspace", all_are<is_space>},
    {"istitle", has_case},
    {"isupper", has_case},
    {"join", joined},
    {"ljust", padded},
    {"lower", changed<lower>},
    {"lstrip", stripped},
    {"maketrans", not_there},
    {"partition", partitioned},
    {"removeprefix", without_affix},
    {"removesuffix", without_affix},
    {"replace", replaced},
    {"rfind", found},
    {"rindex", found},
    {"rjust", padded},
    {"rpartition", partitioned},
    {"rsplit", parts},
    {"rstrip", stripped},
    {"split", parts},
    {"splitlines", lines},
    {"startswith", begins_or_ends},
    {"strip", stripped},
    {"swapcase", changed<swap_case>},
    {"title", changed<title>},
    {"translate", not_there},
    {"upper", changed<upper>},
    {"zfill", zero_filled},
};

const Entry* entry_of(string_view name) {
  const auto* entry = std::lower_bound(std::begin(text_methods), std::end(text_methods), name,
                                       [](const Entry& e, string_view n) { return e.name < n; });
  return entry != std::end(text_methods) && entry->name == name ? entry : nullptr;
}

Value call_text_method(Interpreter& interpreter, const Value& self, string_view name,
                       const Arguments& arguments) {
  const TextCall call{interpreter, self, name, arguments};
  call.budget().charge_bytes(self.text().size());
  return entry_of(name)->call(call);
}

}  // namespace

string escape_html(string_view text) {
  string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Value replaced_text(Budget& budget, string_view text, string_view old, string_view with, std::int64_t limit,
                    bool markup) {
  budget.charge_bytes(text.size());
  if (with.size() > old.size()) {
    std::size_t count = count_text(text, old);
    if (limit >= 0) count = std::min(count, static_cast<std::size_t>(limit));
    // Two texts within the limit make a product that fits.
    budget.check_text(text.size() + count * (with.size() - old.size()));
  }
  return budget.text(replace_text(text, old, with, limit), markup);
}

optional<NamedMethod> find_text_method(string_view name) {
  const Entry* entry = entry_of(name);
  if (entry == nullptr) return std::nullopt;
  return NamedMethod{entry->name, call_text_method};
}

}  // namespace trine::jinja
