#pragma once

#include "text/jinja/value.h"

#include <optional>
#include <string_view>

namespace trine::jinja {

// value.name and value[key] as the sandbox has them: the attribute first, or the item first, then the other;
// undefined when there is neither, or when the attribute is private or would change the value (list.append,
// dict.update).
Value attribute_of(Interpreter& interpreter, const Value& value, std::string_view name);
Value subscript(Interpreter& interpreter, const Value& value, const Value& key);

// The attribute alone; nothing when Python has none of this name.
std::optional<Value> find_attribute(Interpreter& interpreter, const Value& value, std::string_view name);

}  // namespace trine::jinja
