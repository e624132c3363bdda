#pragma once

#include "text/jinja/value.h"

#include <initializer_list>
#include <string_view>
#include <vector>

namespace trine::jinja {

// What a Python function takes. `hidden` counts the arguments that the template does not write (the filtered
// value, Jinja's environment): Python counts them in its messages.
struct Parameter {
  std::string_view name;
  bool required = false;
};
struct Signature {
  std::string_view function;
  int hidden = 0;
  std::vector<Parameter> parameters = {};
  std::string_view type = {};  // of a method of Python's own, which words its messages otherwise
  bool by_name = false;        // whether such a method takes arguments by name
};

// One value a parameter, missing where nothing was passed. Raises TypeError as Python does.
std::vector<Value> bind(const Signature& signature, const Arguments& arguments);

// Values of a parameter as C++ has them.
std::int64_t whole_argument(const Value& value, std::int64_t otherwise);  // TypeError for another type
bool given(const Value& value);                                           // neither missing nor None

}  // namespace trine::jinja
