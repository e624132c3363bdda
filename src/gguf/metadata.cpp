#include "gguf/metadata.h"

#include <fmt/format.h>
#include <algorithm>
#include <type_traits>

namespace trine::gguf {
namespace {

Error absent(std::string_view key) {
  return {.code = ErrorCode::model_load, .what = "metadata key is missing", .where = std::string(key)};
}

Error wrong_kind(std::string_view key, std::string expected, const Value& value) {
  return {.code = ErrorCode::model_load,
          .what = "metadata key has the wrong kind of value",
          .where = std::string(key),
          .expected = std::move(expected),
          .actual = kind_of(value)};
}

Value make_array(ValueType element_type, decltype(Array::values) values) {
  return {ValueType::array, Array{element_type, std::move(values)}};
}

}  // namespace

std::string_view name_of(ValueType type) {
  switch (type) {
    case ValueType::uint8:
      return "uint8";
    case ValueType::int8:
      return "int8";
    case ValueType::uint16:
      return "uint16";
    case ValueType::int16:
      return "int16";
    case ValueType::uint32:
      return "uint32";
    case ValueType::int32:
      return "int32";
    case ValueType::float32:
      return "float32";
    case ValueType::boolean:
      return "bool";
    case ValueType::string:
      return "string";
    case ValueType::array:
      return "array";
    case ValueType::uint64:
      return "uint64";
    case ValueType::int64:
      return "int64";
    case ValueType::float64:
      return "float64";
  }
  return "unknown";
}

std::size_t Array::size() const {
  return std::visit([](const auto& elements) { return elements.size(); }, values);
}

std::string kind_of(const Value& value) {
  if (const auto* array = std::get_if<Array>(&value.data))
    return fmt::format("array of {}", name_of(array->element_type));
  return std::string(name_of(value.type));
}

std::optional<Value> equal_value(const Value& value) {
  const auto* array = std::get_if<Array>(&value.data);
  if (array == nullptr) return value;
  return std::visit(
      [&](const auto& values) -> std::optional<Value> {
        using Element = typename std::decay_t<decltype(values)>::value_type;
        if constexpr (!std::is_same_v<Element, Array>) {
          const auto differs = [&](const Element& one) { return !(one == values.front()); };
          if (values.empty() || std::any_of(values.begin(), values.end(), differs)) return std::nullopt;
          if constexpr (std::is_same_v<Element, std::uint64_t>)
            if (array->element_type == ValueType::boolean)
              return Value{ValueType::boolean, values.front() != 0};
          return Value{array->element_type, values.front()};
        }
        return std::nullopt;
      },
      array->values);
}

std::string quote(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string result = "'";
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '\'' || c == '\\')
      result += fmt::format("\\x{:02x}", byte);
    else
      result += c;
  }
  if (text.size() > longest) result += "...";
  return result + "'";
}

bool Metadata::add(std::string key, Value value) {
  if (!index_.emplace(key, entries_.size()).second) return false;
  entries_.emplace_back(std::move(key), std::move(value));
  return true;
}

const Value* Metadata::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

Result<std::uint64_t> Metadata::get_uint(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return fail(absent(key));
  if (const auto* unsigned_value = std::get_if<std::uint64_t>(&value->data)) return *unsigned_value;
  const auto* signed_value = std::get_if<std::int64_t>(&value->data);
  if (signed_value == nullptr) return fail(wrong_kind(key, "an integer", *value));
  if (*signed_value < 0) {
    return fail({.code = ErrorCode::model_load,
                 .what = "metadata key is negative",
                 .where = std::string(key),
                 .expected = "0 or more",
                 .actual = fmt::format("{}", *signed_value)});
  }
  return static_cast<std::uint64_t>(*signed_value);
}

Result<double> Metadata::get_float(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return fail(absent(key));
  if (const auto* number = std::get_if<double>(&value->data)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(&value->data)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<std::int64_t>(&value->data)) return static_cast<double>(*number);
  return fail(wrong_kind(key, "a number", *value));
}

Result<bool> Metadata::get_bool(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return fail(absent(key));
  if (const auto* boolean = std::get_if<bool>(&value->data)) return *boolean;
  return fail(wrong_kind(key, "bool", *value));
}

Result<std::string_view> Metadata::get_string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return fail(absent(key));
  if (const auto* text = std::get_if<std::string>(&value->data)) return std::string_view(*text);
  return fail(wrong_kind(key, "string", *value));
}

Result<const std::vector<std::string>*> Metadata::get_strings(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return fail(absent(key));
  if (const auto* array = std::get_if<Array>(&value->data)) {
    if (const auto* strings = std::get_if<std::vector<std::string>>(&array->values)) return strings;
  }
  return fail(wrong_kind(key, "array of string", *value));
}

Result<const Array*> Metadata::get_array(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return fail(absent(key));
  if (const auto* array = std::get_if<Array>(&value->data)) return array;
  return fail(wrong_kind(key, "an array", *value));
}

Value make_value(std::uint32_t value) {
  return {ValueType::uint32, std::uint64_t{value}};
}
Value make_value(std::uint64_t value) {
  return {ValueType::uint64, value};
}
Value make_value(std::int32_t value) {
  return {ValueType::int32, std::int64_t{value}};
}
Value make_value(float value) {
  return {ValueType::float32, double{value}};
}
Value make_value(bool value) {
  return {ValueType::boolean, value};
}
Value make_value(std::string value) {
  return {ValueType::string, std::move(value)};
}
Value make_value(const char* value) {
  return {ValueType::string, std::string(value)};
}

Value make_value(std::vector<std::string> values) {
  return make_array(ValueType::string, std::move(values));
}
Value make_value(std::vector<std::int32_t> values) {
  return make_array(ValueType::int32, std::vector<std::int64_t>(values.begin(), values.end()));
}
Value make_value(std::vector<float> values) {
  return make_array(ValueType::float32, std::vector<double>(values.begin(), values.end()));
}

}  // namespace trine::gguf
