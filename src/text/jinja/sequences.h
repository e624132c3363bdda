#pragma once

#include "text/jinja/value.h"

#include <string>
#include <vector>

namespace trine::jinja {

// make_attrgetter: "address.city", "items.0", 3; nothing or None stands for the value itself.
class AttributePath {
 public:
  AttributePath(Interpreter& interpreter, const Value& attribute, Value otherwise = Value::missing());
  Value of(Value item) const;

 private:
  Interpreter& interpreter_;
  std::vector<Value> parts_;
  Value otherwise_;  // in place of what is undefined; missing or None: nothing takes its place
};

// Texts in lower case, everything else as it is.
Value without_case(Budget& budget, const Value& value);

}  // namespace trine::jinja
