#pragma once

#include "text/jinja/value.h"

#include <string>
#include <string_view>

namespace trine::jinja {

// Python's str() and repr(). What Python prints with an address in memory is an error.
std::string to_text(Budget& budget, const Value& value);
std::string repr(Budget& budget, const Value& value);
// Appends str(value).
void append_text(Budget& budget, std::string& out, const Value& value);

std::string quoted_text(std::string_view text);  // repr of a str
std::string real_text(double value);             // repr of a float

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent = {};  // what one level is indented by
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
// json.dumps.
std::string json_text(Budget& budget, const Value& value, const JsonStyle& style);

}  // namespace trine::jinja
