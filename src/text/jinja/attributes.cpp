#include "text/jinja/attributes.h"

#include "text/jinja/arguments.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trine::jinja {
namespace {

// Names that every Python object has, and that the sandbox keeps to itself.
bool is_object_attribute(std::string_view name) {
  static constexpr std::string_view names[] = {
      "__class__", "__delattr__",      "__dir__",    "__doc__",  "__eq__",           "__format__",
      "__ge__",    "__getattribute__", "__gt__",     "__hash__", "__init__",         "__init_subclass__",
      "__le__",    "__lt__",           "__ne__",     "__new__",  "__reduce__",       "__reduce_ex__",
      "__repr__",  "__setattr__",      "__sizeof__", "__str__",  "__subclasshook__", "__getstate__"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// Python's operators on its own types are attributes too.
bool is_operator_attribute(std::string_view name) {
  static constexpr std::string_view names[] = {
      "__add__",  "__contains__", "__getitem__", "__iter__",     "__len__", "__mul__",  "__rmul__", "__mod__",
      "__call__", "__setitem__",  "__delitem__", "__reversed__", "__abs__", "__bool__", "__int__"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool changes_its_value(Kind kind, std::string_view name) {
  static constexpr std::string_view of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  static constexpr std::string_view of_list[] = {"append", "clear", "pop",    "reverse",
                                                 "insert", "sort",  "extend", "remove"};
  if (kind == Kind::dict) return std::find(std::begin(of_dict), std::end(of_dict), name) != std::end(of_dict);
  return kind == Kind::list && std::find(std::begin(of_list), std::end(of_list), name) != std::end(of_list);
}

Value loop_cycle(Interpreter&, const Value& self, std::string_view, const Arguments& arguments) {
  if (arguments.positional.empty()) raise_type("no items for cycling given");
  const auto count = static_cast<std::int64_t>(arguments.positional.size());
  const std::int64_t at = std::max<std::int64_t>(self.as<Loop>().index0, 0);
  return arguments.positional[static_cast<std::size_t>(at % count)];
}
Value loop_changed(Interpreter& interpreter, const Value& self, std::string_view,
                   const Arguments& arguments) {
  auto& loop = self.changing<Loop>();
  const Value now = interpreter.budget().tuple(arguments.positional);
  const bool same = !loop.changed.is(Kind::missing) && equal(interpreter.budget(), loop.changed, now);
  if (!same) loop.changed = now;
  return Value::boolean(!same);
}

std::optional<Value> find_in_loop(Budget& budget, const Value& value, std::string_view name) {
  auto& loop = value.changing<Loop>();
  if (name == "index") return Value::integer(loop.index0 + 1);
  if (name == "index0") return Value::integer(loop.index0);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "last") return Value::boolean(!loop.peek());
  if (name == "length") return Value::integer(loop.count());
  if (name == "revindex") return Value::integer(loop.count() - loop.index0);
  if (name == "revindex0") return Value::integer(loop.count() - loop.index0 - 1);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem") {
    const bool none = loop.index0 == 0 || loop.before.is(Kind::missing);
    return none ? budget.undefined("there is no previous item") : loop.before;
  }
  if (name == "nextitem") return loop.peek() ? loop.ahead.back() : budget.undefined("there is no next item");
  if (name == "cycle") return budget.method(value, "cycle", loop_cycle);
  if (name == "changed") return budget.method(value, "changed", loop_changed);
  return std::nullopt;
}

Value cycler_next(Interpreter&, const Value& self, std::string_view name, const Arguments& arguments) {
  bind({name, 1, {}}, arguments);
  auto& cycler = self.changing<Cycler>();
  const Value value = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return value;
}
Value cycler_reset(Interpreter&, const Value& self, std::string_view name, const Arguments& arguments) {
  bind({name, 1, {}}, arguments);
  self.changing<Cycler>().position = 0;
  return {};
}
std::optional<Value> find_in_cycler(Budget& budget, const Value& value, std::string_view name) {
  const auto& cycler = value.as<Cycler>();
  if (name == "current") return cycler.items[cycler.position];
  if (name == "next") return budget.method(value, "next", cycler_next);
  if (name == "reset") return budget.method(value, "reset", cycler_reset);
  if (name == "pos") return Value::integer(static_cast<std::int64_t>(cycler.position));
  if (name == "items") return budget.tuple(cycler.items);
  return std::nullopt;
}

std::optional<Value> find_in_macro(Budget& budget, const Macro& macro, std::string_view name) {
  if (name == "name") return macro.node->name == "None" ? Value() : budget.text(macro.node->name);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const auto& parameter : macro.node->parameters) names.push_back(budget.text(parameter.name));
    return budget.tuple(std::move(names));
  }
  if (name == "caller") return Value::boolean(macro.node->caller_slot >= 0);
  if (name == "catch_kwargs") return Value::boolean(macro.node->named_slot >= 0);
  if (name == "catch_varargs") return Value::boolean(macro.node->positional_slot >= 0);
  return std::nullopt;
}

Value is_whole_real(Interpreter&, const Value& self, std::string_view name, const Arguments& arguments) {
  bind({name, 0, {}}, arguments);
  return Value::boolean(std::isfinite(self.as_real()) && std::floor(self.as_real()) == self.as_real());
}
std::optional<Value> find_in_number(Budget& budget, const Value& value, std::string_view name) {
  const bool whole = value.is_whole();
  if (name == "real") return whole ? Value::integer(value.as_integer()) : value;
  if (name == "imag") return whole ? Value::integer(0) : Value::real(0);
  if (whole && name == "numerator") return Value::integer(value.as_integer());
  if (whole && name == "denominator") return Value::integer(1);
  if (!whole && name == "is_integer") return budget.method(value, "is_integer", is_whole_real);
  static constexpr std::string_view of_whole[] = {"as_integer_ratio", "bit_count",  "bit_length",
                                                  "conjugate",        "from_bytes", "to_bytes"};
  static constexpr std::string_view of_real[] = {"as_integer_ratio", "conjugate", "fromhex", "hex"};
  const bool there = whole ? std::find(std::begin(of_whole), std::end(of_whole), name) != std::end(of_whole)
                           : std::find(std::begin(of_real), std::end(of_real), name) != std::end(of_real);
  if (there) raise_unsupported(fmt::format("the method {}.{}() is not supported", type_name(value), name));
  return std::nullopt;
}

std::optional<Value> find_in_range(const Range& range, std::string_view name) {
  if (name == "start") return Value::integer(range.start);
  if (name == "stop") return Value::integer(range.stop);
  if (name == "step") return Value::integer(range.step);
  if (name == "count" || name == "index")
    raise_unsupported(fmt::format("the method range.{}() is not supported", name));
  return std::nullopt;
}

Value unsafe_attribute(Budget& budget, const Value& value, std::string_view name) {
  return budget.undefined(
      fmt::format("access to attribute {} of '{}' object is unsafe.", quoted_text(name), type_name(value)),
      "SecurityError");
}

std::optional<Value> safe_attribute(Interpreter& interpreter, const Value& value, std::string_view name) {
  if (is_object_attribute(name) || (is_operator_attribute(name) && !value.is(Kind::name_space)))
    return unsafe_attribute(interpreter.budget(), value, name);
  auto found = find_attribute(interpreter, value, name);
  if (found && (name.starts_with('_') || changes_its_value(value.kind(), name)))
    return unsafe_attribute(interpreter.budget(), value, name);
  return found;
}

}  // namespace

std::optional<Value> find_attribute(Interpreter& interpreter, const Value& value, std::string_view name) {
  Budget& budget = interpreter.budget();
  switch (value.kind()) {
    case Kind::text: {
      const auto method = find_text_method(name);
      if (!method) return std::nullopt;
      return budget.method(value, method->name, method->call);
    }
    case Kind::tuple:
      if (value.as<List>().is_group && name == "grouper") return value.items()[0];
      if (value.as<List>().is_group && name == "list") return value.items()[1];
      [[fallthrough]];
    case Kind::list:
    case Kind::dict: {
      const auto method = find_container_method(value.kind(), name);
      if (!method) return std::nullopt;
      return budget.method(value, method->name, method->call);
    }
    case Kind::dict_view:
      if (name == "mapping" || name == "isdisjoint") raise_unsupported("sets are not supported");
      return std::nullopt;
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
      return find_in_number(budget, value, name);
    case Kind::range:
      return find_in_range(value.as<Range>(), name);
    case Kind::name_space: {
      budget.charge(value.as<Namespace>().attributes.size() / 8);
      const Value* found = value.changing<Namespace>().find(name);
      return found == nullptr ? std::nullopt : std::optional<Value>(*found);
    }
    case Kind::macro:
      return find_in_macro(budget, value.as<Macro>(), name);
    case Kind::loop:
      return find_in_loop(budget, value, name);
    case Kind::cycler:
      return find_in_cycler(budget, value, name);
    default:
      return std::nullopt;
  }
}

Value attribute_of(Interpreter& interpreter, const Value& value, std::string_view name) {
  if (value.is(Kind::undefined) && is_object_attribute(name))
    return unsafe_attribute(interpreter.budget(), value, name);
  if (value.is(Kind::undefined)) raise_undefined(value);
  if (auto found = safe_attribute(interpreter, value, name)) return *std::move(found);
  if (value.is(Kind::dict))
    if (const Value* found = value.dict().find(name)) return *found;
  return interpreter.budget().no_attribute(value, name);
}

Value subscript(Interpreter& interpreter, const Value& value, const Value& key) {
  Budget& budget = interpreter.budget();
  if (auto found = item_of(budget, value, key)) return *std::move(found);
  if (key.is(Kind::text)) {
    if (auto found = safe_attribute(interpreter, value, key.text())) return *std::move(found);
    return budget.no_attribute(value, key.text());
  }
  return budget.undefined(fmt::format("{} has no element {}", object_type(value), repr(budget, key)));
}

}  // namespace trine::jinja
