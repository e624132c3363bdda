#include "cli/metadata_text.h"

#include "cli/console.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>

namespace trine::cli {
namespace {

using nlohmann::ordered_json;

std::size_t shown(std::size_t size, std::size_t max_items) {
  return max_items == 0 ? size : std::min(size, max_items);
}

std::string quoted(const std::string& text, std::size_t max_characters) {
  return fmt::format("\"{}\"", printable(text, max_characters));
}

// Values are held widened; a 32-bit float is shown by the fewest digits that give it back.
template <typename T>
std::string number_text(T number, gguf::ValueType type) {
  if constexpr (std::is_floating_point_v<T>) {
    if (type == gguf::ValueType::float32) return fmt::format("{}", static_cast<float>(number));
  }
  return fmt::format("{}", number);
}

std::string array_text(const gguf::Array& array, std::size_t max_items, std::size_t max_characters) {
  const std::size_t count = shown(array.size(), max_items);
  const auto item = [&](const auto& value) -> std::string {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, std::string>) {
      return quoted(value, max_characters);
    } else if constexpr (std::is_same_v<T, gguf::Array>) {
      return array_text(value, max_items, max_characters);
    } else {
      return number_text(value, array.element_type);
    }
  };
  std::string out = "[";
  std::visit(
      [&](const auto& values) {
        for (std::size_t i = 0; i < count; ++i) out += (i == 0 ? "" : ", ") + item(values[i]);
      },
      array.values);
  if (count < array.size()) out += fmt::format(", … {} more", array.size() - count);
  return out + "]";
}

ordered_json array_json(const gguf::Array& array, std::size_t max_items) {
  ordered_json out = ordered_json::array();
  std::visit(
      [&](const auto& values) {
        using T = typename std::decay_t<decltype(values)>::value_type;
        for (std::size_t i = 0; i < shown(values.size(), max_items); ++i) {
          if constexpr (std::is_same_v<T, gguf::Array>) {
            out.push_back(array_json(values[i], max_items));
          } else {
            out.push_back(values[i]);
          }
        }
      },
      array.values);
  return out;
}

}  // namespace

std::string value_text(const gguf::Value& value, std::size_t max_items, std::size_t max_characters) {
  return std::visit(
      [&](const auto& data) -> std::string {
        using T = std::decay_t<decltype(data)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return quoted(data, max_characters);
        } else if constexpr (std::is_same_v<T, gguf::Array>) {
          return array_text(data, max_items, max_characters);
        } else {
          return number_text(data, value.type);
        }
      },
      value.data);
}

std::string type_text(const gguf::Value& value) {
  if (const auto* array = std::get_if<gguf::Array>(&value.data)) {
    return fmt::format("{}[{}]", gguf::name_of(array->element_type), array->size());
  }
  return std::string(gguf::name_of(value.type));
}

ordered_json value_json(const gguf::Value& value, std::size_t max_items) {
  ordered_json out = {{"type", gguf::name_of(value.type)}};
  if (const auto* array = std::get_if<gguf::Array>(&value.data)) {
    out["element_type"] = gguf::name_of(array->element_type);
    out["length"] = array->size();
    out["value"] = array_json(*array, max_items);
    return out;
  }
  std::visit(
      [&](const auto& data) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(data)>, gguf::Array>) out["value"] = data;
      },
      value.data);
  return out;
}

}  // namespace trine::cli
