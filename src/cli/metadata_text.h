#pragma once

#include "gguf/metadata.h"

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace trine::cli {

// A metadata value as one line of text. At most `max_items` of an array and `max_characters` of a string are
// shown, then how much is left; 0 shows all.
std::string value_text(const gguf::Value& value, std::size_t max_items, std::size_t max_characters);

// "u32", or "string[151936]" for an array.
std::string type_text(const gguf::Value& value);

// {"type", "value"}; an array adds "element_type" and "length", and "value" holds its first `max_items` (0:
// all).
nlohmann::ordered_json value_json(const gguf::Value& value, std::size_t max_items);

}  // namespace trine::cli
