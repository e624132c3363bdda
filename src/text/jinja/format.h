#pragma once

#include "text/jinja/value.h"

#include <string_view>

namespace trine::jinja {

// text % arguments: a tuple, a dict, or one value.
Value format_percent(Budget& budget, const Value& text, const Value& arguments);
// str.format. Fields may look up attributes and items as the sandbox allows.
Value format_braces(Interpreter& interpreter, const Value& text, const Arguments& arguments);

}  // namespace trine::jinja
