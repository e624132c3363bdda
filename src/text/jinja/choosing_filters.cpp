// map, select, reject, selectattr and rejectattr: generators, which look at nothing before their first item
// is asked for.
#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/sequences.h"

#include <fmt/format.h>

#include <functional>

namespace trine::jinja {
namespace {

using OnItem = std::function<Value(const Value& item)>;

// The filter or test that the first of `arguments` names, with the rest as its arguments.
OnItem named_builtin(Interpreter& interpreter, const Value& name, Arguments arguments, bool is_filter) {
  return [&interpreter, name, arguments = std::move(arguments), is_filter](const Value& item) {
    require_hashable(interpreter.budget(), name);
    const Builtin* builtin = nullptr;
    if (name.is(Kind::text)) builtin = is_filter ? find_filter(name.text()) : find_test(name.text());
    if (builtin == nullptr) {
      std::string message =
          fmt::format("No {} named {}.", is_filter ? "filter" : "test", repr(interpreter.budget(), name));
      if (name.is(Kind::undefined))
        message +=
            fmt::format(" ({}; did you forget to quote the callable name?)", name.as<Undefined>().message);
      raise("TemplateRuntimeError", message);
    }
    return call_builtin(interpreter, *builtin, item, arguments);
  };
}
Arguments after(const Arguments& arguments, std::size_t n) {
  Arguments rest{.positional = {}, .named = arguments.named};
  for (std::size_t i = n; i < arguments.positional.size(); ++i)
    rest.positional.push_back(arguments.positional[i]);
  return rest;
}

OnItem prepare_map(Interpreter& interpreter, const Arguments& arguments) {
  const Value* attribute = nullptr;
  for (const auto& [name, value] : arguments.named)
    if (name == "attribute") attribute = &value;
  if (arguments.positional.empty() && attribute != nullptr) {
    Value otherwise = Value::missing();
    for (const auto& [name, value] : arguments.named) {
      if (name == "default")
        otherwise = value;
      else if (name != "attribute")
        raise("FilterArgumentError", fmt::format("Unexpected keyword argument {}", quoted_text(name)));
    }
    const AttributePath path(interpreter, *attribute, otherwise);
    return [path](const Value& item) { return path.of(item); };
  }
  if (arguments.positional.empty()) raise("FilterArgumentError", "map requires a filter argument");
  return named_builtin(interpreter, arguments.positional[0], after(arguments, 1), true);
}

OnItem prepare_choice(Interpreter& interpreter, const Arguments& arguments, bool by_attribute) {
  const std::size_t at = by_attribute ? 1 : 0;
  Value attribute;
  if (by_attribute) {
    if (arguments.positional.empty()) raise("FilterArgumentError", "Missing parameter for attribute name");
    attribute = arguments.positional[0];
  }
  const AttributePath path(interpreter, attribute);
  OnItem test = [](const Value& item) { return item; };
  if (arguments.positional.size() > at)
    test = named_builtin(interpreter, arguments.positional[at], after(arguments, at + 1), false);
  return [path, test](const Value& item) { return test(path.of(item)); };
}

// What the generator holds is as deep as the deepest of it.
Value generator(const BuiltinCall& call, std::function<bool(Value&)> next) {
  std::vector<Value> held = call.arguments.positional;
  for (const auto& [name, value] : call.arguments.named) held.push_back(value);
  held.push_back(call.value);
  return call.budget().iterator("generator", call.budget().list(std::move(held)), std::move(next));
}

struct Walk {
  std::optional<Cursor> cursor;
  OnItem on_item;
};

Value mapped(const BuiltinCall& call) {
  Interpreter& interpreter = call.interpreter;
  const auto walk = std::make_shared<Walk>();
  return generator(call, [walk, &interpreter, value = call.value, arguments = call.arguments](Value& item) {
    if (!walk->cursor) {
      if (!truth(value)) return false;
      walk->on_item = prepare_map(interpreter, arguments);
      walk->cursor.emplace(interpreter.budget(), value);
    }
    if (!walk->cursor->next(item)) return false;
    item = walk->on_item(item);
    return true;
  });
}

template <bool Wanted, bool ByAttribute>
Value chosen(const BuiltinCall& call) {
  Interpreter& interpreter = call.interpreter;
  const auto walk = std::make_shared<Walk>();
  return generator(call, [walk, &interpreter, value = call.value, arguments = call.arguments](Value& item) {
    if (!walk->cursor) {
      if (!truth(value)) return false;
      walk->on_item = prepare_choice(interpreter, arguments, ByAttribute);
      walk->cursor.emplace(interpreter.budget(), value);
    }
    while (walk->cursor->next(item))
      if (truth(walk->on_item(item)) == Wanted) return true;
    return false;
  });
}

}  // namespace

std::vector<Builtin> choosing_filters() {
  return {
      {"map", mapped, {}, true},
      {"reject", chosen<false, false>, {}, true},
      {"rejectattr", chosen<false, true>, {}, true},
      {"select", chosen<true, false>, {}, true},
      {"selectattr", chosen<true, true>, {}, true},
  };
}

}  // namespace trine::jinja
