#include "text/jinja/interpreter.h"

#include "text/jinja/attributes.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace trine::jinja {

// A frame that is emptied when its body is left: macros hold the frame that holds them.
class Interpreter::Scope {
 public:
  explicit Scope(FramePtr frame) : frame_(std::move(frame)) {}
  ~Scope() { frame_->slots.clear(); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  const FramePtr& operator*() const { return frame_; }

 private:
  FramePtr frame_;
};

// Output goes here while it lives.
class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& interpreter)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.out_, &text_)) {}
  ~Capture() { interpreter_.out_ = outer_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  Value take() { return interpreter_.budget_.text(std::move(text_)); }

 private:
  Interpreter& interpreter_;
  std::string text_;
  std::string* outer_;
};

Interpreter::Interpreter(const nlohmann::ordered_json& variables, const RenderOptions& options)
    : variables_(variables),
      options_(options),
      budget_(options.limits.steps, options.limits.output_bytes, options.limits.depth) {}

Interpreter::~Interpreter() {
  for (const auto& name_space : namespaces_) name_space->attributes.clear();
}

std::string Interpreter::render(const Tree& tree) {
  std::string out;
  out_ = &out;
  try {
    const Scope scope(enter(tree.layout, nullptr));
    run(tree.body, *scope);
  } catch (Raised& problem) {
    if (problem.line == 0) problem.line = line_;
    throw;
  }
  return out;
}

void Interpreter::write(std::string_view text) {
  budget_.charge_bytes(text.size());
  budget_.check_text(out_->size() + text.size());
  *out_ += text;
}

FramePtr Interpreter::enter(const Layout& layout, const FramePtr& parent) {
  auto frame = std::make_shared<Frame>();
  frame->parent = parent;
  load(layout, *frame);
  return frame;
}
void Interpreter::load(const Layout& layout, Frame& frame) {
  budget_.charge(layout.loads.size() + 1);
  frame.slots.assign(layout.loads.size(), Value::missing());
  for (std::size_t i = 0; i < layout.loads.size(); ++i) {
    const Load& load = layout.loads[i];
    if (load.how == Load::How::variable) frame.slots[i] = variable(load.name);
    if (load.how == Load::How::outer) frame.slots[i] = slot(frame, load.outer);
  }
}
Value& Interpreter::slot(Frame& frame, Reference reference) {
  static thread_local Value none;
  Frame* at = &frame;
  for (int i = 0; i < reference.hops; ++i) at = at->parent.get();
  // A macro that outlived its frame finds it empty.
  if (static_cast<std::size_t>(reference.slot) >= at->slots.size()) return none = Value::missing();
  return at->slots[static_cast<std::size_t>(reference.slot)];
}

Value Interpreter::variable(std::string_view name) {
  budget_.charge(converted_.size() / 8);
  for (const auto& [known, value] : converted_)
    if (known == name) return value;
  const auto found = variables_.find(std::string(name));
  Value value = found != variables_.end() ? from_json(*found) : global_named(name);
  converted_.emplace_back(name, value);
  return value;
}
Value Interpreter::from_json(const nlohmann::ordered_json& json) {
  const Budget::Deeper deeper(budget_);
  switch (json.type()) {
    case nlohmann::json::value_t::null:
      return {};
    case nlohmann::json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case nlohmann::json::value_t::number_integer:
      return Value::integer(json.get<std::int64_t>());
    case nlohmann::json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() > INT64_MAX)
        raise_unsupported("whole numbers past 64 bits are not supported");
      return Value::integer(json.get<std::int64_t>());
    case nlohmann::json::value_t::number_float:
      return Value::real(json.get<double>());
    case nlohmann::json::value_t::string:
      return budget_.text(json.get_ref<const std::string&>());
    case nlohmann::json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(from_json(item));
      return budget_.list(std::move(items));
    }
    case nlohmann::json::value_t::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [key, value] : json.items()) dict->set(budget_.text(key), from_json(value));
      return budget_.dict(std::move(dict));
    }
    default:
      raise_unsupported("a binary value among the variables is not supported");
  }
}

Interpreter::Flow Interpreter::run(const Body& body, const FramePtr& frame) {
  for (const auto& statement : body)
    if (const Flow flow = run(*statement, frame); flow != Flow::on) return flow;
  return Flow::on;
}

Interpreter::Flow Interpreter::run(const Stmt& node, const FramePtr& frame) {
  const Budget::Deeper deeper(budget_);
  line_ = node.line;
  switch (node.kind) {
    case Stmt::Kind::output:
      for (const ExprPtr& part : node.exprs) {
        if (part->kind == Expr::Kind::constant && part->constant.is(Kind::text))
          write(part->constant.text());
        else
          append_text(budget_, *out_, evaluate(*part, frame));
      }
      return Flow::on;
    case Stmt::Kind::branches:
      for (const Branch& branch : node.branches)
        if (truth(evaluate(*branch.test, frame))) return run(branch.body, frame);
      return run(node.else_body, frame);
    case Stmt::Kind::loop:
      run_loop(node, frame, evaluate(*node.exprs[0], frame), 0);
      return Flow::on;
    case Stmt::Kind::assignment: {
      require_namespaces(*node.targets[0], *frame);
      assign(*node.targets[0], *frame, evaluate(*node.exprs[0], frame));
      return Flow::on;
    }
    case Stmt::Kind::capture:
    case Stmt::Kind::filter_block: {
      const Scope scope(enter(node.layout, frame));
      Value text;
      Flow flow = Flow::on;
      {
        Capture capture(*this);
        flow = run(node.body, *scope);
        text = capture.take();
      }
      // A break or continue out of the block leaves it unfinished.
      if (flow != Flow::on) return flow;
      if (node.filter) text = evaluate_builtin(*node.filter, *scope, &text);
      if (node.kind == Stmt::Kind::capture)
        assign(*node.targets[0], *frame, text);
      else
        append_text(budget_, *out_, text);
      return Flow::on;
    }
    case Stmt::Kind::macro:
      slot(*frame, node.reference) = make_macro(*node.macro, frame);
      return Flow::on;
    case Stmt::Kind::call_block: {
      const Value caller = make_macro(*node.macro, frame);
      const Expr& call_node = *node.exprs[0];
      const Value callee = evaluate(*call_node.items[0], frame);
      Arguments arguments = evaluate_arguments(call_node, frame);
      for (const auto& [name, value] : arguments.named)
        if (name == "caller") raise("SyntaxError", "keyword argument repeated: caller");
      arguments.named.emplace_back("caller", caller);
      append_text(budget_, *out_, call(callee, arguments));
      return Flow::on;
    }
    case Stmt::Kind::generation:
      append_text(budget_, *out_, call(make_macro(*node.macro, frame), {}));
      return Flow::on;
    case Stmt::Kind::with: {
      const Scope scope(enter(node.layout, frame));
      for (std::size_t i = 0; i < node.targets.size(); ++i)
        assign(*node.targets[i], **scope, evaluate(*node.exprs[i], frame));
      return run(node.body, *scope);
    }
    case Stmt::Kind::leave_loop:
      return Flow::leave_loop;
    case Stmt::Kind::next_round:
      return Flow::next_round;
  }
  return Flow::on;
}

void Interpreter::run_loop(const Stmt& node, const FramePtr& frame, const Value& iterable,
                           std::int64_t depth0) {
  const Expr& target = *node.targets[0];
  Cursor cursor(budget_, iterable);
  std::function<bool(Value&)> pull = [&cursor](Value& item) { return cursor.next(item); };
  std::optional<Scope> test_scope;
  if (node.test) {
    pull = [&, this](Value& item) {
      if (!test_scope) test_scope.emplace(enter(node.test_layout, frame));
      while (cursor.next(item)) {
        assign(target, ***test_scope, item);
        if (truth(evaluate(*node.test, **test_scope))) return true;
      }
      return false;
    };
  }
  const auto loop = std::make_shared<Loop>();
  loop->node = &node;
  loop->frame = frame;
  loop->iterable = node.test ? Value() : iterable;
  loop->pull = std::move(pull);
  loop->depth0 = depth0;
  // The loop variable must not outlive what it pulls from, nor hold what may hold it.
  struct Ending {
    Loop& loop;
    ~Ending() {
      loop.pull = nullptr;
      loop.frame = nullptr;
      loop.iterable = Value();
      loop.ahead.clear();
      loop.current = loop.before = loop.changed = Value::missing();
    }
  } ending{*loop};

  const Value loop_value = Value::object<Loop>(Kind::loop, loop);
  bool finished_a_round = false;
  Value item;
  FramePtr inner;
  while (loop->next(item)) {
    if (inner && inner.use_count() == 1) {
      load(node.layout, *inner);
    } else {
      if (inner) inner->slots.clear();
      inner = enter(node.layout, frame);
    }
    struct Emptying {
      Frame& frame;
      ~Emptying() { frame.slots.clear(); }
    } emptying{*inner};
    assign(target, *inner, item);
    if (node.loop_slot >= 0) inner->slots[static_cast<std::size_t>(node.loop_slot)] = loop_value;
    const Flow flow = run(node.body, inner);
    if (flow == Flow::leave_loop) break;
    if (flow == Flow::on) finished_a_round = true;  // as Jinja: a round that is cut short does not count
    line_ = node.line;
  }
  if (!finished_a_round && !node.else_body.empty()) {
    const Scope scope(enter(node.else_layout, frame));
    run(node.else_body, *scope);
  }
}

Value Interpreter::recurse(const Loop& loop, const Value& items) {
  if (loop.node == nullptr || !loop.node->recursive)
    raise_type("The loop must have the 'recursive' marker to be called recursively.");
  if (!loop.frame) raise_unsupported("calling a loop that has ended is not supported");
  Capture capture(*this);
  run_loop(*loop.node, loop.frame, items, loop.depth0 + 1);
  return capture.take();
}

void Interpreter::require_namespaces(const Expr& target, Frame& frame) {
  if (target.kind == Expr::Kind::attribute_to_set && !slot(frame, target.reference).is(Kind::name_space))
    raise("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
  for (const ExprPtr& item : target.items) require_namespaces(*item, frame);
}

void Interpreter::assign(const Expr& target, Frame& frame, const Value& value) {
  if (target.kind == Expr::Kind::name) {
    slot(frame, target.reference) = value;
    return;
  }
  if (target.kind == Expr::Kind::attribute_to_set) {
    auto& name_space = slot(frame, target.reference).changing<Namespace>();
    if (Value* known = name_space.find(target.attribute))
      *known = value;
    else
      name_space.attributes.emplace_back(target.attribute, value);
    budget_.charge(name_space.attributes.size() / 8);
    return;
  }
  if (!is_iterable(value)) raise_type(fmt::format("cannot unpack non-iterable {} object", type_name(value)));
  Cursor cursor(budget_, value);
  std::vector<Value> parts;
  Value part;
  while (parts.size() <= target.items.size() && cursor.next(part)) parts.push_back(part);
  if (parts.size() > target.items.size())
    raise_value(fmt::format("too many values to unpack (expected {})", target.items.size()));
  if (parts.size() < target.items.size())
    raise_value(
        fmt::format("not enough values to unpack (expected {}, got {})", target.items.size(), parts.size()));
  for (std::size_t i = 0; i < parts.size(); ++i) assign(*target.items[i], frame, parts[i]);
}

bool Loop::next(Value& item) {
  if (!ahead.empty()) {
    item = std::move(ahead.back());
    ahead.pop_back();
  } else if (!pull || !pull(item)) {
    return false;
  }
  ++index0;
  before = std::move(current);
  current = item;
  return true;
}
bool Loop::peek() {
  if (!ahead.empty()) return true;
  Value item;
  if (!pull || !pull(item)) return false;
  ahead.push_back(std::move(item));
  return true;
}
std::int64_t Loop::count() {
  if (length >= 0) return length;
  // Under a test nobody knows but by walking on.
  const auto known = node != nullptr && node->test ? std::nullopt : length_of(iterable);
  if (known) return length = *known;
  std::vector<Value> rest(ahead.rbegin(), ahead.rend());
  Value item;
  while (pull && pull(item)) rest.push_back(item);
  length = static_cast<std::int64_t>(rest.size()) + index0 + 1;
  ahead.assign(rest.rbegin(), rest.rend());
  return length;
}

}  // namespace trine::jinja
