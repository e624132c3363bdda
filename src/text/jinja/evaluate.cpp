// Expressions, and calls of macros.
#include "text/jinja/attributes.h"
#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

#include <fmt/format.h>

#include <algorithm>

namespace trine::jinja {

Value Interpreter::evaluate(const Expr& node, const FramePtr& frame) {
  if (node.kind == Expr::Kind::constant) return node.constant;
  const Budget::Deeper deeper(budget_);
  line_ = node.line;
  if (node.kind == Expr::Kind::name) {
    const Value& value = slot(*frame, node.reference);
    return value.is(Kind::missing) ? budget_.undefined(fmt::format("'{}' is undefined", node.name)) : value;
  }
  return evaluate_node(node, frame);
}

Value Interpreter::evaluate_node(const Expr& node, const FramePtr& frame) {
  const auto item = [&](std::size_t i) { return evaluate(*node.items[i], frame); };
  const auto items = [&] {
    std::vector<Value> values;
    values.reserve(node.items.size());
    for (const ExprPtr& each : node.items) values.push_back(evaluate(*each, frame));
    return values;
  };
  switch (node.kind) {
    case Expr::Kind::tuple:
      return budget_.tuple(items());
    case Expr::Kind::list:
      return budget_.list(items());
    case Expr::Kind::dict: {
      auto dict = std::make_shared<Dict>();
      for (std::size_t i = 0; i < node.items.size(); i += 2) {
        Value key = item(i);
        Value value = item(i + 1);
        require_hashable(budget_, key);
        dict->set(std::move(key), std::move(value));
      }
      return budget_.dict(std::move(dict));
    }
    case Expr::Kind::attribute: {
      const Value value = item(0);
      line_ = node.line;
      return attribute_of(*this, value, node.name);
    }
    case Expr::Kind::item: {
      const Value value = item(0);
      const Value key = item(1);
      return subscript(*this, value, key);
    }
    case Expr::Kind::slice: {
      const auto bound = [&](std::size_t i) {
        return node.items[i] ? evaluate(*node.items[i], frame) : Value();
      };
      const Value value = item(0), start = bound(1), stop = bound(2), step = bound(3);
      return slice(budget_, value, start, stop, step);
    }
    case Expr::Kind::call: {
      const Value callee = item(0);
      const Arguments arguments = evaluate_arguments(node, frame);
      line_ = node.line;
      return call(callee, arguments);
    }
    case Expr::Kind::filter:
    case Expr::Kind::test:
      return evaluate_builtin(node, frame);
    case Expr::Kind::negation:
      return Value::boolean(!truth(item(0)));
    case Expr::Kind::negative:
      return negate(budget_, item(0));
    case Expr::Kind::positive:
      return positive(budget_, item(0));
    case Expr::Kind::binary: {
      const Value left = item(0);
      const Value right = item(1);
      return binary(budget_, node.binary, left, right);
    }
    case Expr::Kind::conjunction: {
      Value left = item(0);
      return truth(left) ? item(1) : left;
    }
    case Expr::Kind::disjunction: {
      Value left = item(0);
      return truth(left) ? left : item(1);
    }
    case Expr::Kind::concat: {
      const std::vector<Value> parts = items();
      std::string text;
      for (const Value& part : parts) append_text(budget_, text, part);
      return budget_.text(std::move(text));
    }
    case Expr::Kind::comparison:
      return Value::boolean(evaluate_comparison(node, frame));
    case Expr::Kind::conditional:
      if (truth(item(0))) return item(1);
      if (node.items[2]) return item(2);
      return budget_.undefined(fmt::format(
          "the inline if-expression on line {} evaluated to false and no else section was defined.",
          node.line));
    default:
      return {};
  }
}

bool Interpreter::evaluate_comparison(const Expr& node, const FramePtr& frame) {
  Value left = evaluate(*node.items[0], frame);
  for (std::size_t i = 0; i < node.compares.size(); ++i) {
    Value right = evaluate(*node.items[i + 1], frame);
    if (!compare(budget_, node.compares[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Arguments Interpreter::evaluate_arguments(const Expr& node, const FramePtr& frame) {
  Arguments arguments;
  const std::string_view callee = node.kind == Expr::Kind::call ? "jinja2.sandbox.SandboxedEnvironment.call()"
                                                                : std::string_view(node.name);
  for (std::size_t i = 1; i < node.items.size(); ++i)
    arguments.positional.push_back(evaluate(*node.items[i], frame));
  for (const auto& [name, value] : node.named) arguments.named.emplace_back(name, evaluate(*value, frame));
  if (node.more_positional) {
    const Value more = evaluate(*node.more_positional, frame);
    if (!is_iterable(more))
      raise_type(fmt::format("{} argument after * must be an iterable, not {}", callee, type_name(more)));
    for (Value& value : to_vector(budget_, more)) arguments.positional.push_back(std::move(value));
  }
  if (node.more_named) {
    const Value more = evaluate(*node.more_named, frame);
    if (!more.is(Kind::dict))
      raise_type(fmt::format("{} argument after ** must be a mapping, not {}", callee, type_name(more)));
    for (const auto& [key, value] : more.dict().entries) {
      if (!key.is(Kind::text)) raise_type("keywords must be strings");
      const bool twice = std::any_of(arguments.named.begin(), arguments.named.end(),
                                     [name = key.text()](const auto& other) { return other.first == name; });
      if (twice)
        raise_type(fmt::format("{} got multiple values for keyword argument '{}'", callee, key.text()));
      budget_.charge(arguments.named.size() / 8 + 1);
      arguments.named.emplace_back(key.text(), value);
    }
  }
  return arguments;
}

Value Interpreter::evaluate_builtin(const Expr& node, const FramePtr& frame, const Value* filtered) {
  // A block's filters stand in one another, the innermost without a value of its own.
  const bool innermost = node.items[0] == nullptr;
  const bool inner_of_block = filtered != nullptr && !innermost;
  const Value value = innermost        ? *filtered
                      : inner_of_block ? evaluate_builtin(*node.items[0], frame, filtered)
                                       : evaluate(*node.items[0], frame);
  const Arguments arguments = evaluate_arguments(node, frame);
  line_ = node.line;
  if (node.builtin == nullptr) {
    const std::string_view kind = node.kind == Expr::Kind::filter ? "filter" : "test";
    raise("TemplateRuntimeError", fmt::format("No {} named '{}' found.", kind, node.name));
  }
  return call_builtin(*this, *node.builtin, value, arguments);
}

Value Interpreter::make_macro(const MacroNode& node, const FramePtr& frame) {
  auto macro = std::make_shared<Macro>();
  macro->node = &node;
  macro->frame = frame;
  return Value::object<Macro>(Kind::macro, std::move(macro));
}

// As jinja2.runtime.Macro.__call__.
void Interpreter::bind_macro(const Macro& macro, const Arguments& arguments, Frame& frame) {
  const MacroNode& node = *macro.node;
  const auto& parameters = node.parameters;
  const std::size_t n_positional = std::min(arguments.positional.size(), parameters.size());
  auto named = arguments.named;
  budget_.charge(parameters.size() * (named.size() + 1) / 4 + 1);
  const auto take = [&](std::string_view name) {
    const auto found =
        std::find_if(named.begin(), named.end(), [&](const auto& each) { return each.first == name; });
    if (found == named.end()) return Value::missing();
    Value value = std::move(found->second);
    named.erase(found);
    return value;
  };
  const auto set = [&](int slot, Value value) {
    frame.slots[static_cast<std::size_t>(slot)] = std::move(value);
  };
  for (std::size_t i = 0; i < parameters.size(); ++i)
    set(parameters[i].slot, i < n_positional ? arguments.positional[i] : take(parameters[i].name));
  if (node.caller_slot >= 0) {
    Value caller = take("caller");
    if (caller.is(Kind::missing) || caller.is(Kind::none)) caller = budget_.undefined("No caller defined");
    set(node.caller_slot, std::move(caller));
  }
  if (node.named_slot >= 0) {
    auto dict = std::make_shared<Dict>();
    for (auto& [name, value] : named) dict->set(budget_.text(name), std::move(value));
    set(node.named_slot, budget_.dict(std::move(dict)));
  } else if (!named.empty()) {
    const bool caller =
        std::any_of(named.begin(), named.end(), [](const auto& each) { return each.first == "caller"; });
    const std::string name = node.name == "None" ? "None" : quoted_text(node.name);
    if (caller)
      raise_type(
          fmt::format("macro {} was invoked with two values for the special caller argument. This is most "
                      "likely a bug.",
                      name));
    raise_type(fmt::format("macro {} takes no keyword argument {}", name, quoted_text(named.front().first)));
  }
  if (node.positional_slot >= 0) {
    const auto rest = arguments.positional.begin() + static_cast<std::ptrdiff_t>(n_positional);
    set(node.positional_slot, budget_.tuple(std::vector<Value>(rest, arguments.positional.end())));
  } else if (arguments.positional.size() > parameters.size()) {
    const std::string name = node.name == "None" ? "None" : quoted_text(node.name);
    raise_type(fmt::format("macro {} takes not more than {} argument(s)", name, parameters.size()));
  }
}

Value Interpreter::run_macro(const Macro& macro, const Arguments& arguments) {
  const MacroNode& node = *macro.node;
  const FramePtr frame = enter(node.layout, macro.frame);
  struct Emptying {
    Frame& frame;
    ~Emptying() { frame.slots.clear(); }
  } emptying{*frame};
  bind_macro(macro, arguments, *frame);
  for (const MacroParameter& parameter : node.parameters) {
    Value value = frame->slots[static_cast<std::size_t>(parameter.slot)];
    if (!value.is(Kind::missing)) continue;
    value = parameter.otherwise
                ? evaluate(*parameter.otherwise, frame)
                : budget_.undefined(fmt::format("parameter '{}' was not provided", parameter.name));
    frame->slots[static_cast<std::size_t>(parameter.slot)] = std::move(value);
  }
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  struct Restoring {
    std::string*& out;
    std::string* outer;
    ~Restoring() { out = outer; }
  } restoring{out_, outer};
  run(node.body, frame);
  return budget_.text(std::move(text));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  const Budget::Deeper deeper(budget_);
  switch (callee.kind()) {
    case Kind::macro:
      return run_macro(callee.as<Macro>(), arguments);
    case Kind::function:
      return callee.as<Function>().call(*this, arguments);
    case Kind::method: {
      const auto& method = callee.as<Method>();
      return method.call(*this, method.self, method.name, arguments);
    }
    case Kind::loop: {
      const auto bound = bind({"__call__", 1, {{"iterable", true}}}, arguments);
      return recurse(callee.as<Loop>(), bound[0]);
    }
    case Kind::joiner: {
      auto& joiner = callee.changing<Joiner>();
      if (std::exchange(joiner.used, true)) return joiner.separator;
      return budget_.text({});
    }
    case Kind::undefined:
      raise_undefined(callee);
    default:
      raise_type(fmt::format("'{}' object is not callable", type_name(callee)));
  }
}

Value Interpreter::new_namespace(const Arguments& arguments) {
  auto name_space = std::make_shared<Namespace>();
  for (const auto& [name, value] : arguments.named) name_space->attributes.emplace_back(name, value);
  namespaces_.push_back(name_space);
  return Value::object<Namespace>(Kind::name_space, std::move(name_space));
}

}  // namespace trine::jinja
