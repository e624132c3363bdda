#pragma once

#include "text/jinja/operators.h"
#include "text/jinja/value.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trine::jinja {

struct Builtin;

// Where a name lives: so many frames outwards, in this slot.
struct Reference {
  int hops = 0;
  int slot = -1;
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  enum class Kind : std::uint8_t {
    constant,          // constant; template data too
    name,              // name, reference
    attribute_to_set,  // name.attribute, as a target: name, attribute, reference
    tuple,             // items
    list,              // items
    dict,              // items: key, value, key, value, …
    attribute,         // items[0].name
    item,              // items[0][items[1]]
    slice,             // items[0][items[1]:items[2]:items[3]], which may be null
    call,              // items[0](items[1], …)
    filter,            // items[0] | name(items[1], …); items[0] is null where a block is filtered
    test,              // items[0] is name(items[1], …)
    negation,          // not items[0]
    negative,          // -items[0]
    positive,          // +items[0]
    binary,            // items[0] binary items[1]
    conjunction,       // items[0] and items[1]
    disjunction,       // items[0] or items[1]
    concat,            // items[0] ~ items[1] ~ …
    comparison,        // items[0] compares[0] items[1] compares[1] …
    conditional,       // items[1] if items[0] else items[2], which may be null
  };
  Kind kind;
  int line;
  int depth = 1;  // of the tree
  std::vector<ExprPtr> items = {};
  std::string name = {}, attribute = {};
  Value constant = {};
  Reference reference = {};
  Binary binary = Binary::add;
  std::vector<Compare> compares = {};
  // Of calls, filters and tests:
  std::vector<std::pair<std::string, ExprPtr>> named = {};
  ExprPtr more_positional = {}, more_named = {};  // *x, **x
  const Builtin* builtin = nullptr;               // null: not there, which counts only when it is reached
};

// How a frame's slots begin, in order. The rules are those of jinja2.idtracking.
struct Load {
  enum class How : std::uint8_t { parameter, unset, variable, outer };
  How how = How::unset;
  std::string name = {};
  Reference outer = {};  // seen from inside the frame
};
struct Layout {
  std::vector<Load> loads;
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

struct MacroParameter {
  std::string name;
  ExprPtr otherwise;  // may be null
  int slot = -1;
};
// A macro, or the block that a call passes as caller().
struct MacroNode {
  std::string name;
  std::vector<MacroParameter> parameters;
  Body body;
  Layout layout;
  int caller_slot = -1, named_slot = -1,
      positional_slot = -1;  // caller, kwargs, varargs where the body reads them
};

struct Branch {
  ExprPtr test;
  Body body;
};

struct Stmt {
  enum class Kind : std::uint8_t {
    output,        // exprs, one after the other
    branches,      // if: branches, else_body
    loop,          // for target in exprs[0] if test: body, else_body
    assignment,    // set target = exprs[0]
    capture,       // set target: body, filter
    macro,         // macro
    call_block,    // exprs[0] called with macro as its caller
    generation,    // macro called
    filter_block,  // filter, body
    with,          // targets = exprs: body
    leave_loop,    // break
    next_round,    // continue
  };
  Kind kind;
  int line;
  std::vector<ExprPtr> exprs = {};
  std::vector<ExprPtr> targets = {};
  ExprPtr test = {}, filter = {};
  Body body = {}, else_body = {};
  std::vector<Branch> branches = {};
  std::unique_ptr<MacroNode> macro = {};
  Reference reference = {};  // of the macro's name
  Layout layout = {}, test_layout = {},
         else_layout = {};  // of body, test and else_body where they have frames
  bool recursive = false;
  int loop_slot = -1;  // of the loop variable, where the body reads it
};

struct Tree {
  Body body;
  Layout layout;
};

}  // namespace trine::jinja
