#pragma once

#include "text/jinja/arguments.h"
#include "text/jinja/value.h"

#include <string_view>
#include <vector>

namespace trine::jinja {

// A call of a filter or test on `value`.
struct BuiltinCall {
  Interpreter& interpreter;
  const Value& value;
  const Arguments& arguments;
  std::vector<Value> bound;  // by the signature; empty where the builtin takes any arguments

  Budget& budget() const;
  bool flag(std::size_t parameter) const;  // whether it was given and is true
};

struct Builtin {
  std::string_view name;
  Value (*call)(const BuiltinCall& call);
  Signature signature = {};
  bool takes_anything = false;
};

// Null when Jinja has none of this name, or Trine does not: absent_filter() tells.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);

// The filters and tests, as each source file has them.
std::vector<Builtin> text_filters();
std::vector<Builtin> number_filters();
std::vector<Builtin> sequence_filters();
std::vector<Builtin> choosing_filters();
std::vector<Builtin> tests();

Value call_builtin(Interpreter& interpreter, const Builtin& builtin, const Value& value,
                   const Arguments& arguments);

// The functions that every template finds by name; missing when there is none.
Value global_named(std::string_view name);

}  // namespace trine::jinja
