#include "text/jinja/resolver.h"

#include "text/jinja/builtins.h"
#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <functional>
#include <map>

namespace trine::jinja {
namespace {

// jinja2.idtracking.Symbols: what one frame knows of names. A slot stands for Python's local variable.
struct Symbols {
  const Symbols* parent = nullptr;
  Layout* layout = nullptr;
  std::size_t* work = nullptr;  // what copying and searching may still cost
  std::map<std::string, int> slots = {};
  std::set<std::string> stores = {};

  std::optional<Reference> find(const std::string& name) const {
    Reference reference;
    for (const Symbols* symbols = this; symbols != nullptr; symbols = symbols->parent, ++reference.hops) {
      const auto slot = symbols->slots.find(name);
      if (slot == symbols->slots.end()) continue;
      reference.slot = slot->second;
      return reference;
    }
    return std::nullopt;
  }
  std::optional<Reference> find_outside(const std::string& name) const {
    auto outer = parent == nullptr ? std::nullopt : parent->find(name);
    if (outer) ++outer->hops;
    return outer;
  }

  void spend(std::size_t steps) const {
    if (steps >= *work) raise_unsupported("the template has too many names");
    *work -= steps;
  }
  int define(const std::string& name, Load load) {
    // Branches of an if are looked at one by one and share their frame's slots.
    int slot = 0;
    while (slot < static_cast<int>(layout->loads.size()) &&
           layout->loads[static_cast<std::size_t>(slot)].name != name)
      ++slot;
    spend(layout->loads.size());
    load.name = name;
    if (slot == static_cast<int>(layout->loads.size())) layout->loads.emplace_back();
    layout->loads[static_cast<std::size_t>(slot)] = std::move(load);
    slots[name] = slot;
    return slot;
  }
  void load(const std::string& name) {
    if (!find(name)) define(name, {.how = Load::How::variable});
  }
  void store(const std::string& name) {
    stores.insert(name);
    if (slots.contains(name)) return;
    if (const auto outer = find_outside(name))
      define(name, {.how = Load::How::outer, .outer = *outer});
    else
      define(name, {.how = Load::How::unset});
  }
  int parameter(const std::string& name) {
    stores.insert(name);
    return define(name, {.how = Load::How::parameter});
  }
  void merge(const std::vector<Symbols>& branches) {
    std::set<std::string> stored;
    for (const Symbols& branch : branches) stored.insert(branch.stores.begin(), branch.stores.end());
    for (const std::string& name : stores) stored.erase(name);
    for (const Symbols& branch : branches) {
      slots.insert(branch.slots.begin(), branch.slots.end());
      stores.insert(branch.stores.begin(), branch.stores.end());
    }
    for (const std::string& name : stored) {
      if (const auto outer = find_outside(name))
        define(name, {.how = Load::How::outer, .outer = *outer});
      else
        define(name, {.how = Load::How::variable});
    }
  }
};

enum class Use { read, stored, parameter };
using OnName = std::function<void(const std::string& name, Use use)>;

void visit(const Expr& node, Use use, const OnName& on_name) {
  if (node.kind == Expr::Kind::name) on_name(node.name, use);
  if (node.kind == Expr::Kind::attribute_to_set) on_name(node.name, Use::read);
  for (const ExprPtr& item : node.items)
    if (item) visit(*item, use, on_name);
  for (const auto& [name, value] : node.named) visit(*value, use, on_name);
  if (node.more_positional) visit(*node.more_positional, use, on_name);
  if (node.more_named) visit(*node.more_named, use, on_name);
}

// jinja2.idtracking.FrameSymbolVisitor: what a statement means to the frame it stands in.
void find_symbols(Symbols& symbols, const Body& body);
void find_symbols(Symbols& symbols, const Expr* node, Use use = Use::read) {
  if (node == nullptr) return;
  visit(*node, use, [&](const std::string& name, Use how) {
    if (how == Use::read)
      symbols.load(name);
    else if (how == Use::stored)
      symbols.store(name);
    else
      symbols.parameter(name);
  });
}
void find_symbols(Symbols& symbols, const Stmt& statement) {
  switch (statement.kind) {
    case Stmt::Kind::branches: {
      // An elif is an if of its own: its test belongs to its branch.
      find_symbols(symbols, statement.branches[0].test.get());
      symbols.spend(3 * symbols.slots.size() + 1);
      Symbols body = symbols, elifs = symbols, otherwise = symbols;
      find_symbols(body, statement.branches[0].body);
      for (std::size_t i = 1; i < statement.branches.size(); ++i) {
        find_symbols(elifs, statement.branches[i].test.get());
        elifs.spend(elifs.slots.size() + 1);
        Symbols branch = elifs;
        find_symbols(branch, statement.branches[i].body);
        elifs.merge({branch});
      }
      find_symbols(otherwise, statement.else_body);
      symbols.merge({body, elifs, otherwise});
      return;
    }
    case Stmt::Kind::macro:
      symbols.store(statement.macro->name);
      return;
    case Stmt::Kind::assignment:
      find_symbols(symbols, statement.exprs[0].get());
      find_symbols(symbols, statement.targets[0].get(), Use::stored);
      return;
    case Stmt::Kind::capture:
      find_symbols(symbols, statement.targets[0].get(), Use::stored);
      return;
    case Stmt::Kind::filter_block:
      find_symbols(symbols, statement.filter.get());
      return;
    default:  // what is evaluated outside the frame of a body
      for (const ExprPtr& node : statement.exprs) find_symbols(symbols, node.get());
  }
}
void find_symbols(Symbols& symbols, const Body& body) {
  for (const auto& statement : body) find_symbols(symbols, *statement);
}

// jinja2.compiler.UndeclaredNameVisitor over everything inside, frames or not, in the order of Jinja's
// fields.
class Undeclared {
 public:
  explicit Undeclared(std::set<std::string> names) : names_(std::move(names)) {}
  const std::set<std::string>& found() const { return found_; }

  void look(const Body& body) {
    for (const auto& statement : body) look(*statement);
  }

 private:
  void look(const Expr* node, Use use = Use::read) {
    if (node == nullptr) return;
    visit(*node, use, [&](const std::string& name, Use how) {
      if (how == Use::read && names_.contains(name))
        found_.insert(name);
      else if (how != Use::read)
        names_.erase(name);
    });
  }
  void look(const MacroNode& macro) {
    for (const MacroParameter& parameter : macro.parameters) names_.erase(parameter.name);
    for (const MacroParameter& parameter : macro.parameters) look(parameter.otherwise.get());
    look(macro.body);
  }
  void look(const Stmt& statement) {
    for (const ExprPtr& target : statement.targets) look(target.get(), Use::stored);
    for (const ExprPtr& node : statement.exprs) look(node.get());
    look(statement.filter.get());
    if (statement.macro) look(*statement.macro);
    for (const Branch& branch : statement.branches) {
      look(branch.test.get());
      look(branch.body);
    }
    look(statement.body);
    look(statement.else_body);
    look(statement.test.get());
  }

  std::set<std::string> names_, found_;
};
std::set<std::string> undeclared(const Body& body, std::set<std::string> names) {
  Undeclared visitor(std::move(names));
  visitor.look(body);
  return visitor.found();
}

bool stores_loop(const Expr* node) {
  bool found = false;
  if (node != nullptr)
    visit(*node, Use::stored,
          [&](const std::string& name, Use use) { found |= use == Use::stored && name == "loop"; });
  return found;
}
bool stores_loop(const Body& body);
bool stores_loop(const Stmt& statement) {
  const bool assigns = statement.kind == Stmt::Kind::assignment || statement.kind == Stmt::Kind::capture ||
                       statement.kind == Stmt::Kind::loop;
  if (assigns && stores_loop(statement.targets[0].get())) return true;
  for (const Branch& branch : statement.branches)
    if (stores_loop(branch.body)) return true;
  return stores_loop(statement.body) || stores_loop(statement.else_body) ||
         (statement.macro && stores_loop(statement.macro->body));
}
bool stores_loop(const Body& body) {
  for (const auto& statement : body)
    if (stores_loop(*statement)) return true;
  return false;
}

// Walks the frames, outermost first, once the names of each are known.
class Resolver {
 public:
  void run(Tree& tree) {
    if (!undeclared(tree.body, {"self"}).empty()) raise_unsupported("the name 'self' is not supported");
    Symbols symbols{.layout = &tree.layout, .work = &work_};
    find_symbols(symbols, tree.body);
    body(tree.body, symbols, false);
    collect(tree.layout);
  }
  std::set<std::string> variables;

 private:
  std::size_t work_ = 20'000'000;

  void collect(const Layout& layout) {
    for (const Load& load : layout.loads)
      if (load.how == Load::How::variable) variables.insert(load.name);
  }
  static Reference reference(const Symbols& symbols, const std::string& name, int line) {
    const auto found = symbols.find(name);
    // Jinja trips over the filter of a set block that reads a name nothing else reads.
    if (!found)
      raise_unsupported(fmt::format("the name '{}' in the filter of a set block is not supported", name),
                        line);
    return *found;
  }

  // `soft`: in an if or conditional expression, where a filter may be missing until it is reached.
  void expression(Expr* node, const Symbols& symbols, bool soft) {
    if (node == nullptr) return;
    if (node->kind == Expr::Kind::name || node->kind == Expr::Kind::attribute_to_set)
      node->reference = reference(symbols, node->name, node->line);
    const bool is_filter = node->kind == Expr::Kind::filter;
    if (is_filter || node->kind == Expr::Kind::test) {
      node->builtin = is_filter ? find_filter(node->name) : find_test(node->name);
      if (node->builtin == nullptr && !soft)
        throw Raised{.code = ErrorCode::unsupported,
                     .kind = "TemplateAssertionError",
                     .message = fmt::format("No {} named '{}'.", is_filter ? "filter" : "test", node->name),
                     .line = node->line};
    }
    soft = soft || node->kind == Expr::Kind::conditional;
    for (const ExprPtr& item : node->items) expression(item.get(), symbols, soft);
    for (const auto& [name, value] : node->named) expression(value.get(), symbols, soft);
    expression(node->more_positional.get(), symbols, soft);
    expression(node->more_named.get(), symbols, soft);
  }
  void body(Body& statements, const Symbols& symbols, bool soft) {
    for (const auto& statement : statements) this->statement(*statement, symbols, soft);
  }

  void statement(Stmt& node, const Symbols& symbols, bool soft) {
    switch (node.kind) {
      case Stmt::Kind::branches:
        for (Branch& branch : node.branches) {
          expression(branch.test.get(), symbols, true);
          body(branch.body, symbols, true);
        }
        body(node.else_body, symbols, true);
        return;
      case Stmt::Kind::loop:
        loop(node, symbols, soft);
        return;
      case Stmt::Kind::macro:
        node.reference = reference(symbols, node.macro->name, node.line);
        macro(*node.macro, symbols, node.line);
        return;
      case Stmt::Kind::call_block:
      case Stmt::Kind::generation:
        for (const ExprPtr& call : node.exprs) expression(call.get(), symbols, soft);
        macro(*node.macro, symbols, node.line);
        return;
      case Stmt::Kind::filter_block:
      case Stmt::Kind::capture:
        block(node, symbols, soft);
        return;
      case Stmt::Kind::with: {
        for (const ExprPtr& value : node.exprs) expression(value.get(), symbols, soft);
        Symbols inner{.parent = &symbols, .layout = &node.layout, .work = &work_};
        for (const ExprPtr& target : node.targets) find_symbols(inner, target.get(), Use::parameter);
        find_symbols(inner, node.body);
        for (const ExprPtr& target : node.targets) expression(target.get(), inner, false);
        body(node.body, inner, false);
        collect(node.layout);
        return;
      }
      default:
        for (const ExprPtr& value : node.exprs) expression(value.get(), symbols, soft);
        for (const ExprPtr& target : node.targets) expression(target.get(), symbols, soft);
    }
  }

  void block(Stmt& node, const Symbols& symbols, bool soft) {
    Symbols inner{.parent = &symbols, .layout = &node.layout, .work = &work_};
    find_symbols(inner, node.body);
    if (node.kind == Stmt::Kind::filter_block) find_symbols(inner, node.filter.get());
    for (const ExprPtr& target : node.targets) expression(target.get(), symbols, soft);
    expression(node.filter.get(), inner, false);
    body(node.body, inner, false);
    collect(node.layout);
  }

  void loop(Stmt& node, const Symbols& symbols, bool soft) {
    if (stores_loop(node))
      throw Raised{.code = ErrorCode::unsupported,
                   .kind = "TemplateAssertionError",
                   .message = "Can't assign to special loop variable in for-loop target",
                   .line = node.line};
    expression(node.exprs[0].get(), symbols, soft);
    Expr* target = node.targets[0].get();
    if (node.test) {
      Symbols inner{.parent = &symbols, .layout = &node.test_layout, .work = &work_};
      find_symbols(inner, target, Use::parameter);
      find_symbols(inner, node.test.get());
      expression(node.test.get(), inner, false);
      collect(node.test_layout);
    }
    Symbols inner{.parent = &symbols, .layout = &node.layout, .work = &work_};
    // The target comes first, so that its slots are those it has in the frame of the test.
    find_symbols(inner, target, Use::parameter);
    if (node.recursive || !undeclared(node.body, {"loop"}).empty()) node.loop_slot = inner.parameter("loop");
    find_symbols(inner, node.body);
    expression(target, inner, false);
    body(node.body, inner, false);
    collect(node.layout);
    Symbols otherwise{.parent = &symbols, .layout = &node.else_layout, .work = &work_};
    find_symbols(otherwise, node.else_body);
    body(node.else_body, otherwise, false);
    collect(node.else_layout);
  }

  void macro(MacroNode& node, const Symbols& symbols, int line) {
    Symbols inner{.parent = &symbols, .layout = &node.layout, .work = &work_};
    const auto special = undeclared(node.body, {"caller", "kwargs", "varargs"});
    bool has_caller = false, has_named = false, has_positional = false;
    for (MacroParameter& parameter : node.parameters) {
      parameter.slot = inner.parameter(parameter.name);
      has_named = has_named || parameter.name == "kwargs";
      has_positional = has_positional || parameter.name == "varargs";
      if (parameter.name != "caller") continue;
      has_caller = true;
      if (special.contains("caller") && !parameter.otherwise)
        throw Raised{
            .code = ErrorCode::unsupported,
            .kind = "TemplateAssertionError",
            .message =
                "When defining macros or call blocks the special \"caller\" argument must be omitted or "
                "be given a default.",
            .line = line};
    }
    if (special.contains("caller") && !has_caller) node.caller_slot = inner.parameter("caller");
    if (special.contains("kwargs") && !has_named) node.named_slot = inner.parameter("kwargs");
    if (special.contains("varargs") && !has_positional) node.positional_slot = inner.parameter("varargs");
    for (const MacroParameter& parameter : node.parameters) find_symbols(inner, parameter.otherwise.get());
    find_symbols(inner, node.body);
    for (const MacroParameter& parameter : node.parameters)
      expression(parameter.otherwise.get(), inner, false);
    body(node.body, inner, false);
    collect(node.layout);
  }
};

}  // namespace

std::set<std::string> resolve(Tree& tree) {
  Resolver resolver;
  resolver.run(tree);
  return std::move(resolver.variables);
}

}  // namespace trine::jinja
