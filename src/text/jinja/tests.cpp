// The tests of Jinja: value is name(arguments).
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

namespace trine::jinja {
namespace {

template <Kind K>
Value is_kind(const BuiltinCall& call) {
  return Value::boolean(call.value.is(K));
}
template <Compare C>
Value compares_as(const BuiltinCall& call) {
  return Value::boolean(compare(call.budget(), C, call.value, call.bound[0]));
}
Value remainder(const BuiltinCall& call, const Value& by) {
  return binary(call.budget(), Binary::modulo, call.value, by);
}
Value is_odd(const BuiltinCall& call) {
  return Value::boolean(equal(call.budget(), remainder(call, Value::integer(2)), Value::integer(1)));
}
Value is_even(const BuiltinCall& call) {
  return Value::boolean(equal(call.budget(), remainder(call, Value::integer(2)), Value::integer(0)));
}
Value is_divisible(const BuiltinCall& call) {
  return Value::boolean(equal(call.budget(), remainder(call, call.bound[0]), Value::integer(0)));
}
Value is_defined(const BuiltinCall& call) {
  return Value::boolean(!call.value.is(Kind::undefined));
}
Value is_true(const BuiltinCall& call) {
  return Value::boolean(call.value.is(Kind::boolean) && call.value.as_boolean());
}
Value is_false(const BuiltinCall& call) {
  return Value::boolean(call.value.is(Kind::boolean) && !call.value.as_boolean());
}
Value is_a_number(const BuiltinCall& call) {
  return Value::boolean(call.value.is_number());
}
Value is_sequence(const BuiltinCall& call) {
  // Python asks for len() and value[…]; an undefined value has both.
  return Value::boolean(length_of(call.value).has_value() && !call.value.is(Kind::dict_view));
}
Value can_iterate(const BuiltinCall& call) {
  return Value::boolean(is_iterable(call.value) || call.value.is(Kind::loop));
}
Value is_callable(const BuiltinCall& call) {
  switch (call.value.kind()) {
    case Kind::undefined:
    case Kind::macro:
    case Kind::method:
    case Kind::function:
    case Kind::loop:
    case Kind::joiner:
      return Value::boolean(true);
    default:
      return Value::boolean(false);
  }
}
Value is_escaped(const BuiltinCall& call) {
  return Value::boolean(call.value.is_markup());
}
Value is_cased(const BuiltinCall& call, bool upper_wanted) {
  const std::string text = to_text(call.budget(), call.value);
  bool any = false;
  for (const char32_t code : characters(text)) {
    const bool wanted = upper_wanted ? is_uppercase(code) : is_lowercase(code);
    if (!wanted && (is_uppercase(code) || is_lowercase(code) || is_titlecase(code)))
      return Value::boolean(false);
    any = any || wanted;
  }
  return Value::boolean(any);
}
Value is_lower(const BuiltinCall& call) {
  return is_cased(call, false);
}
Value is_upper(const BuiltinCall& call) {
  return is_cased(call, true);
}
Value is_same(const BuiltinCall& call) {
  const Value &a = call.value, &b = call.bound[0];
  if (a.kind() != b.kind()) return Value::boolean(false);
  switch (a.kind()) {
    case Kind::none:
      return Value::boolean(true);
    case Kind::boolean:
      return Value::boolean(a.as_boolean() == b.as_boolean());
    case Kind::integer:
    case Kind::real:
    case Kind::text:
      raise_unsupported("the test 'sameas' of numbers and strings is not supported");
    default:
      return Value::boolean(a.identity() == b.identity());
  }
}
Value is_filter(const BuiltinCall& call) {
  require_hashable(call.budget(), call.value);
  return Value::boolean(call.value.is(Kind::text) && find_filter(call.value.text()) != nullptr);
}
Value is_test(const BuiltinCall& call) {
  require_hashable(call.budget(), call.value);
  return Value::boolean(call.value.is(Kind::text) && find_test(call.value.text()) != nullptr);
}

}  // namespace

std::vector<Builtin> tests() {
  const Signature none{"test", 1, {}}, one{"test", 1, {{"other", true}}};
  std::vector<Builtin> all = {
      {"odd", is_odd, {"test_odd", 1, {}}},
      {"even", is_even, {"test_even", 1, {}}},
      {"divisibleby", is_divisible, {"test_divisibleby", 1, {{"num", true}}}},
      {"defined", is_defined, {"test_defined", 1, {}}},
      {"undefined", is_kind<Kind::undefined>, {"test_undefined", 1, {}}},
      {"filter", is_filter, {"test_filter", 2, {}}},
      {"test", is_test, {"test_test", 2, {}}},
      {"none", is_kind<Kind::none>, {"test_none", 1, {}}},
      {"boolean", is_kind<Kind::boolean>, {"test_boolean", 1, {}}},
      {"false", is_false, {"test_false", 1, {}}},
      {"true", is_true, {"test_true", 1, {}}},
      {"integer", is_kind<Kind::integer>, {"test_integer", 1, {}}},
      {"float", is_kind<Kind::real>, {"test_float", 1, {}}},
      {"lower", is_lower, {"test_lower", 1, {}}},
      {"upper", is_upper, {"test_upper", 1, {}}},
      {"string", is_kind<Kind::text>, {"test_string", 1, {}}},
      {"mapping", is_kind<Kind::dict>, {"test_mapping", 1, {}}},
      {"number", is_a_number, {"test_number", 1, {}}},
      {"sequence", is_sequence, {"test_sequence", 1, {}}},
      {"iterable", can_iterate, {"test_iterable", 1, {}}},
      {"callable", is_callable, {"callable", 1, {}}},
      {"sameas", is_same, {"test_sameas", 1, {{"other", true}}}},
      {"escaped", is_escaped, {"test_escaped", 1, {}}},
      {"in", compares_as<Compare::in>, {"test_in", 1, {{"seq", true}}}},
  };
  const auto add = [&](std::initializer_list<std::string_view> names, Value (*call)(const BuiltinCall&)) {
    for (const std::string_view name : names) all.push_back({name, call, one});
  };
  add({"==", "eq", "equalto"}, compares_as<Compare::equal>);
  add({"!=", "ne"}, compares_as<Compare::not_equal>);
  add({">", "gt", "greaterthan"}, compares_as<Compare::greater>);
  add({">=", "ge"}, compares_as<Compare::greater_equal>);
  add({"<", "lt", "lessthan"}, compares_as<Compare::less>);
  add({"<=", "le"}, compares_as<Compare::less_equal>);
  return all;
}

}  // namespace trine::jinja
