#include "gguf/parse_metadata.h"

#include <vector>

namespace trine::gguf {
namespace {

// The least bytes one element can take in the file.
std::uint64_t least_bytes(ValueType type) {
  switch (type) {
    case ValueType::uint8:
    case ValueType::int8:
    case ValueType::boolean:
      return 1;
    case ValueType::uint16:
    case ValueType::int16:
      return 2;
    case ValueType::uint32:
    case ValueType::int32:
    case ValueType::float32:
      return 4;
    case ValueType::uint64:
    case ValueType::int64:
    case ValueType::float64:
    case ValueType::string:
      return 8;
    case ValueType::array:
      return 12;
  }
  return 1;
}

Result<ValueType> read_value_type(Cursor& cursor) {
  const std::uint64_t at = cursor.position();
  TRINE_TRY(const auto id, cursor.read<std::uint32_t>("a value type"));
  if (id <= static_cast<std::uint32_t>(ValueType::float64)) return static_cast<ValueType>(id);
  return fail(cursor.error("unknown metadata value type", at, "0 to 12", fmt::format("{}", id)));
}

Result<bool> read_bool(Cursor& cursor) {
  const std::uint64_t at = cursor.position();
  TRINE_TRY(const auto byte, cursor.read<std::uint8_t>("a bool"));
  if (byte <= 1) return byte == 1;
  return fail(cursor.error("a bool is neither 0 nor 1", at, "0 or 1", fmt::format("{}", byte)));
}

template <typename Stored, typename Widened>
Result<decltype(Array::values)> read_numbers(Cursor& cursor, std::uint64_t count) {
  std::vector<Widened> values;
  values.reserve(first_reserve(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    TRINE_TRY(const auto value, cursor.read<Stored>("an array"));
    values.push_back(static_cast<Widened>(value));
  }
  return values;
}

Result<Array> read_array(Cursor& cursor, int depth);

Result<decltype(Array::values)> read_bools(Cursor& cursor, std::uint64_t count) {
  std::vector<std::uint64_t> values;
  values.reserve(first_reserve(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    TRINE_TRY(const bool value, read_bool(cursor));
    values.push_back(value ? 1 : 0);
  }
  return values;
}

Result<decltype(Array::values)> read_strings(Cursor& cursor, std::uint64_t count) {
  std::vector<std::string> values;
  values.reserve(first_reserve(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    TRINE_TRY(std::string value, cursor.read_string("an array of strings"));
    values.push_back(std::move(value));
  }
  return values;
}

Result<decltype(Array::values)> read_arrays(Cursor& cursor, std::uint64_t count, int depth) {
  std::vector<Array> values;
  values.reserve(first_reserve(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    TRINE_TRY(Array value, read_array(cursor, depth + 1));
    values.push_back(std::move(value));
  }
  return values;
}

Result<decltype(Array::values)> read_elements(Cursor& cursor, ValueType type, std::uint64_t count,
                                              int depth) {
  using U = std::uint64_t;
  using I = std::int64_t;
  switch (type) {
    case ValueType::uint8:
      return read_numbers<std::uint8_t, U>(cursor, count);
    case ValueType::int8:
      return read_numbers<std::int8_t, I>(cursor, count);
    case ValueType::uint16:
      return read_numbers<std::uint16_t, U>(cursor, count);
    case ValueType::int16:
      return read_numbers<std::int16_t, I>(cursor, count);
    case ValueType::uint32:
      return read_numbers<std::uint32_t, U>(cursor, count);
    case ValueType::int32:
      return read_numbers<std::int32_t, I>(cursor, count);
    case ValueType::float32:
      return read_numbers<float, double>(cursor, count);
    case ValueType::uint64:
      return read_numbers<std::uint64_t, U>(cursor, count);
    case ValueType::int64:
      return read_numbers<std::int64_t, I>(cursor, count);
    case ValueType::float64:
      return read_numbers<double, double>(cursor, count);
    case ValueType::boolean:
      return read_bools(cursor, count);
    case ValueType::string:
      return read_strings(cursor, count);
    case ValueType::array:
      return read_arrays(cursor, count, depth);
  }
  return fail(ErrorCode::not_gguf, "unknown array element type");
}

Result<Array> read_array(Cursor& cursor, int depth) {
  const std::uint64_t at = cursor.position();
  if (depth > max_array_depth) {
    return fail(cursor.error("arrays are nested too deeply", at,
                             fmt::format("at most {} levels", max_array_depth),
                             fmt::format("{} levels or more", depth)));
  }
  Array array;
  TRINE_TRY(array.element_type, read_value_type(cursor));
  TRINE_TRY(const auto count, cursor.read<std::uint64_t>("an array length"));
  TRINE_CHECK_OK(cursor.need(count, least_bytes(array.element_type), "an array"));
  TRINE_TRY(array.values, read_elements(cursor, array.element_type, count, depth));
  return array;
}

template <typename Stored, typename Widened>
Result<Value> read_number(Cursor& cursor, ValueType type) {
  TRINE_TRY(const auto value, cursor.read<Stored>("a value"));
  return Value{type, static_cast<Widened>(value)};
}

Result<Value> read_value(Cursor& cursor) {
  using U = std::uint64_t;
  using I = std::int64_t;
  TRINE_TRY(const ValueType type, read_value_type(cursor));
  switch (type) {
    case ValueType::uint8:
      return read_number<std::uint8_t, U>(cursor, type);
    case ValueType::int8:
      return read_number<std::int8_t, I>(cursor, type);
    case ValueType::uint16:
      return read_number<std::uint16_t, U>(cursor, type);
    case ValueType::int16:
      return read_number<std::int16_t, I>(cursor, type);
    case ValueType::uint32:
      return read_number<std::uint32_t, U>(cursor, type);
    case ValueType::int32:
      return read_number<std::int32_t, I>(cursor, type);
    case ValueType::float32:
      return read_number<float, double>(cursor, type);
    case ValueType::uint64:
      return read_number<std::uint64_t, U>(cursor, type);
    case ValueType::int64:
      return read_number<std::int64_t, I>(cursor, type);
    case ValueType::float64:
      return read_number<double, double>(cursor, type);
    case ValueType::boolean: {
      TRINE_TRY(const bool value, read_bool(cursor));
      return Value{type, value};
    }
    case ValueType::string: {
      TRINE_TRY(std::string value, cursor.read_string("a string"));
      return Value{type, std::move(value)};
    }
    case ValueType::array: {
      TRINE_TRY(Array value, read_array(cursor, 1));
      return Value{type, std::move(value)};
    }
  }
  return fail(ErrorCode::not_gguf, "unknown value type");
}

}  // namespace

Result<Metadata> read_metadata(Cursor& cursor, std::uint64_t count) {
  Metadata metadata;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = cursor.position();
    cursor.enter(fmt::format("metadata entry {}", i));
    TRINE_TRY(std::string key, cursor.read_name("a metadata key"));
    cursor.enter("key " + quote(key));
    TRINE_TRY(Value value, read_value(cursor));
    if (!metadata.add(std::move(key), std::move(value)))
      return fail(cursor.error("a metadata key appears twice", at, "unique keys", "a second value"));
  }
  cursor.enter({});
  return metadata;
}

}  // namespace trine::gguf
