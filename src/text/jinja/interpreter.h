#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/template.h"
#include "text/jinja/value.h"

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trine::jinja {

// The names of a body at run time.
struct Frame {
  std::shared_ptr<Frame> parent;
  std::vector<Value> slots;
};
using FramePtr = std::shared_ptr<Frame>;

struct Macro : Object {
  const MacroNode* node = nullptr;
  FramePtr frame;  // it was defined in
};

// The variable `loop`.
struct Loop : Object {
  const Stmt* node = nullptr;
  FramePtr frame;  // around the loop
  Value iterable;
  std::function<bool(Value&)> pull;  // the next item
  std::vector<Value> ahead;          // pulled already, the next one last
  std::int64_t index0 = -1, length = -1, depth0 = 0;
  Value current = Value::missing(), before = Value::missing();
  Value changed = Value::missing();  // the arguments of changed() last time, as a tuple

  bool next(Value& item);
  bool peek();  // whether there is another
  std::int64_t count();
};

class Interpreter {
 public:
  Interpreter(const nlohmann::ordered_json& variables, const RenderOptions& options);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  std::string render(const Tree& tree);

  Budget& budget() { return budget_; }
  const std::tm& now() const { return options_.now; }
  int line() const { return line_; }  // that is being evaluated

  Value call(const Value& callee, const Arguments& arguments);
  Value new_namespace(const Arguments& arguments);
  // What loop(items) gives in a recursive loop.
  Value recurse(const Loop& loop, const Value& items);

 private:
  enum class Flow : std::uint8_t { on, leave_loop, next_round };
  class Scope;
  class Capture;

  Flow run(const Body& body, const FramePtr& frame);
  Flow run(const Stmt& statement, const FramePtr& frame);
  void run_loop(const Stmt& node, const FramePtr& frame, const Value& iterable, std::int64_t depth0);
  Value run_macro(const Macro& macro, const Arguments& arguments);
  void bind_macro(const Macro& macro, const Arguments& arguments, Frame& frame);
  Value make_macro(const MacroNode& node, const FramePtr& frame);
  void assign(const Expr& target, Frame& frame, const Value& value);
  void require_namespaces(const Expr& target, Frame& frame);

  Value evaluate(const Expr& node, const FramePtr& frame);
  Value evaluate_node(const Expr& node, const FramePtr& frame);
  Value evaluate_binary(const Expr& node, const FramePtr& frame);
  bool evaluate_comparison(const Expr& node, const FramePtr& frame);
  Value evaluate_builtin(const Expr& node, const FramePtr& frame, const Value* filtered = nullptr);
  Arguments evaluate_arguments(const Expr& node, const FramePtr& frame);

  FramePtr enter(const Layout& layout, const FramePtr& parent);
  void load(const Layout& layout, Frame& frame);
  static Value& slot(Frame& frame, Reference reference);
  Value variable(std::string_view name);
  Value from_json(const nlohmann::ordered_json& json);
  void write(std::string_view text);

  const nlohmann::ordered_json& variables_;
  const RenderOptions& options_;
  Budget budget_;
  int line_ = 0;
  std::string* out_ = nullptr;
  std::vector<std::pair<std::string, Value>> converted_;  // variables read so far
  // Namespaces may hold each other: they are emptied when the rendering ends.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace trine::jinja
