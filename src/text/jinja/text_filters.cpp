// Filters that make a text.
#include "text/jinja/attributes.h"
#include "text/jinja/builtins.h"
#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/sequences.h"
#include "text/jinja/strings.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

namespace trine::jinja {
namespace {

// soft_str: a text stays what it is, markup too.
Value soft_text(const BuiltinCall& call, const Value& value) {
  return value.is(Kind::text) ? value : call.budget().text(to_text(call.budget(), value));
}

template <std::string (*F)(std::string_view)>
Value cased(const BuiltinCall& call) {
  const Value text = soft_text(call, call.value);
  call.budget().charge_bytes(text.text().size());
  return call.budget().text(F(text.text()), text.is_markup());
}

// Words begin behind white space and these.
std::string title_words(std::string_view text) {
  std::string out;
  bool begins = true;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = character_at(text, at);
    const std::string_view one = text.substr(at, length);
    const bool separates =
        is_space(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<';
    if (separates)
      out += one;
    else
      out += begins ? upper(one) : lower(one);
    begins = separates;
    at += length;
  }
  return out;
}

Value to_soft_text(const BuiltinCall& call) {
  return soft_text(call, call.value);
}
Value trimmed(const BuiltinCall& call) {
  const Value text = soft_text(call, call.value);
  std::optional<std::string_view> chosen;
  if (given(call.bound[0])) {
    if (!call.bound[0].is(Kind::text)) raise_type("strip arg must be None or str");
    chosen = call.bound[0].text();
    call.budget().charge(chosen->size());
  }
  call.budget().charge_bytes(text.text().size());
  return call.budget().text(std::string(strip(text.text(), chosen, true, true)), text.is_markup());
}
Value replaced_in(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const std::string text = to_text(budget, call.value), old = to_text(budget, call.bound[0]),
                    with = to_text(budget, call.bound[1]);
  const std::int64_t limit = given(call.bound[2]) ? whole_argument(call.bound[2], -1) : -1;
  return replaced_text(budget, text, old, with, limit, false);
}
Value escaped(const BuiltinCall& call) {
  if (call.value.is_markup()) return call.value;
  return call.budget().text(escape_html(to_text(call.budget(), call.value)), true);
}
Value escaped_again(const BuiltinCall& call) {
  return call.budget().text(escape_html(to_text(call.budget(), call.value)), true);
}
Value safe(const BuiltinCall& call) {
  return call.budget().text(to_text(call.budget(), call.value), true);
}

Value joined_items(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const std::string separator = call.bound[0].is(Kind::missing) ? "" : to_text(budget, call.bound[0]);
  const AttributePath path(call.interpreter, call.bound[1]);
  Cursor cursor(budget, call.value);
  std::string out;
  Value item;
  for (bool first = true; cursor.next(item); first = false) {
    if (!first) out += separator;
    append_text(budget, out, given(call.bound[1]) ? path.of(item) : item);
  }
  return budget.text(std::move(out));
}

Value indented(const BuiltinCall& call) {
  Budget& budget = call.budget();
  if (!call.value.is(Kind::text)) {
    if (call.value.is(Kind::undefined)) raise_undefined(call.value);
    // `s += "\n"` is what Jinja does first.
    if (call.value.is(Kind::list)) raise("AttributeError", "'list' object has no attribute 'splitlines'");
    raise_type(call.value.is(Kind::tuple) ? std::string("can only concatenate tuple (not \"str\") to tuple")
                                          : fmt::format("unsupported operand type(s) for +=: '{}' and 'str'",
                                                        type_name(call.value)));
  }
  const Value& width = call.bound[0];
  std::string indention = "    ";
  if (width.is(Kind::text)) {
    indention = width.text();
  } else if (!width.is(Kind::missing)) {
    const Value spaces = binary(budget, Binary::multiply, budget.text(" "), width);
    indention = spaces.text();
  }
  const bool first = call.flag(1), blank = call.flag(2);
  const std::string text = std::string(call.value.text()) + "\n";
  budget.charge_bytes(text.size());
  std::string out = first ? indention : "";
  std::size_t number = 0;
  for (const std::string_view line : split_lines(text, false)) {
    if (number++ > 0) {
      out += '\n';
      if (blank || !line.empty()) out += indention;
    }
    out += line;
    budget.check_text(out.size());
    budget.charge_bytes(indention.size());
  }
  return budget.text(std::move(out), call.value.is_markup());
}

Value truncated(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const std::int64_t length_wanted = whole_argument(call.bound[0], 255);
  const bool kill_words = call.flag(1);
  const std::string end = call.bound[2].is(Kind::missing) ? "..." : to_text(budget, call.bound[2]);
  const std::int64_t leeway = given(call.bound[3]) ? whole_argument(call.bound[3], 5) : 5;
  const auto end_length = static_cast<std::int64_t>(count_characters(end));
  if (length_wanted < end_length)
    raise("AssertionError", fmt::format("expected length >= {}, got {}", end_length, length_wanted));
  if (leeway < 0) raise("AssertionError", fmt::format("expected leeway >= 0, got {}", leeway));
  const std::int64_t size = length(call.value);
  if (size - leeway <= length_wanted) return call.value;
  if (!call.value.is(Kind::text)) raise_unsupported("truncating what is not a string is not supported");
  if (call.value.is_markup()) raise_unsupported("truncating a text marked safe is not supported");
  const std::string_view text = call.value.text();
  std::string_view kept =
      text.substr(0, offset_of(text, static_cast<std::size_t>(length_wanted - end_length)));
  const std::size_t space = kill_words ? std::string_view::npos : find_last(kept, " ");
  if (space != std::string_view::npos) kept = kept.substr(0, space);
  return budget.text(std::string(kept) + end);
}

Value centered(const BuiltinCall& call) {
  const Value text = soft_text(call, call.value);
  const std::int64_t width = whole_argument(call.bound[0], 80);
  const auto method = find_text_method("center");
  return method->call(call.interpreter, text, "center", {.positional = {Value::integer(width)}, .named = {}});
}

Value formatted_with(const BuiltinCall& call) {
  Budget& budget = call.budget();
  if (!call.arguments.positional.empty() && !call.arguments.named.empty())
    raise("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
  const Value text = soft_text(call, call.value);
  if (call.arguments.named.empty())
    return format_percent(budget, text, budget.tuple(call.arguments.positional));
  auto dict = std::make_shared<Dict>();
  for (const auto& [name, value] : call.arguments.named) dict->set(budget.text(name), value);
  return format_percent(budget, text, budget.dict(std::move(dict)));
}

// json.dumps(x, ensure_ascii=…, indent=…, separators=…, sort_keys=…), as Hugging Face has it.
Value as_json(const BuiltinCall& call) {
  Budget& budget = call.budget();
  JsonStyle style;
  style.ensure_ascii = call.flag(0);
  style.sort_keys = call.flag(3);
  if (const Value& indent = call.bound[1]; given(indent)) {
    if (indent.is(Kind::text)) {
      style.indent = indent.text();
    } else {
      const std::int64_t width = whole_argument(indent, 0);
      budget.check_text(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)));
      style.indent = std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    }
    style.item_separator = ",";
  }
  if (const Value& separators = call.bound[2]; given(separators)) {
    const auto pair = to_vector(budget, separators);
    if (pair.size() > 2) raise_value("too many values to unpack (expected 2)");
    if (pair.size() < 2)
      raise_value(fmt::format("not enough values to unpack (expected 2, got {})", pair.size()));
    if (!pair[0].is(Kind::text) || !pair[1].is(Kind::text))
      raise_unsupported("JSON separators that are no strings are not supported");
    style.item_separator = pair[0].text();
    style.key_separator = pair[1].text();
  }
  return budget.text(json_text(budget, call.value, style));
}

Value counted_words(const BuiltinCall& call) {
  const Value text = soft_text(call, call.value);
  call.budget().charge_bytes(text.text().size());
  std::int64_t words = 0;
  bool inside = false;
  for (const char32_t code : characters(text.text())) {
    if (is_word(code) && !inside) ++words;
    inside = is_word(code);
  }
  return Value::integer(words);
}

}  // namespace

std::vector<Builtin> text_filters() {
  return {
      {"capitalize", cased<capitalize>, {"do_capitalize", 1, {}}},
      {"center", centered, {"do_center", 1, {{"width", false}}}},
      {"e", escaped, {"escape", 1, {}}},
      {"escape", escaped, {"escape", 1, {}}},
      {"forceescape", escaped_again, {"do_forceescape", 1, {}}},
      {"format", formatted_with, {}, true},
      {"indent", indented, {"do_indent", 1, {{"width", false}, {"first", false}, {"blank", false}}}},
      {"join", joined_items, {"sync_do_join", 2, {{"d", false}, {"attribute", false}}}},
      {"lower", cased<lower>, {"do_lower", 1, {}}},
      {"replace", replaced_in, {"do_replace", 2, {{"old", true}, {"new", true}, {"count", false}}}},
      {"safe", safe, {"do_mark_safe", 1, {}}},
      {"string", to_soft_text, {"soft_str", 1, {}}},
      {"title", cased<title_words>, {"do_title", 1, {}}},
      {"tojson",
       as_json,
       {"tojson",
        1,
        {{"ensure_ascii", false}, {"indent", false}, {"separators", false}, {"sort_keys", false}}}},
      {"trim", trimmed, {"do_trim", 1, {{"chars", false}}}},
      {"truncate",
       truncated,
       {"do_truncate", 2, {{"length", false}, {"killwords", false}, {"end", false}, {"leeway", false}}}},
      {"upper", cased<upper>, {"do_upper", 1, {}}},
      {"wordcount", counted_words, {"do_wordcount", 1, {}}},
  };
}

}  // namespace trine::jinja
