#pragma once

#include "base/error.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace trine::gguf {

// Metadata value types by the ids the file stores. Source: gguf.md, `gguf_metadata_value_type`.
enum class ValueType : std::uint32_t {
  uint8 = 0,
  int8 = 1,
  uint16 = 2,
  int16 = 3,
  uint32 = 4,
  int32 = 5,
  float32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  uint64 = 10,
  int64 = 11,
  float64 = 12,
};
std::string_view name_of(ValueType type);

struct Value;

// An array keeps its declared element type also when it is empty. Strings and nested arrays are materialised;
// numbers are stored widened to 64 bits.
struct Array {
  ValueType element_type = ValueType::uint8;
  std::variant<std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>,
               std::vector<std::string>,
               std::vector<Array>>
      values;  // unsigned types and booleans; signed types; floats; strings; arrays
  std::size_t size() const;
};

// Unsigned and signed integers are widened, the exact stored type stays in `type`.
struct Value {
  ValueType type = ValueType::uint8;
  std::variant<std::uint64_t, std::int64_t, double, bool, std::string, Array> data;
};
// "uint32", "array of string": for listings and errors.
std::string kind_of(const Value& value);

// A value as it is, or the one of which an array has nothing but copies. Empty for any other array.
std::optional<Value> equal_value(const Value& value);

// A name out of an untrusted file, quoted, with control characters escaped and long ones cut: fit for a
// terminal.
std::string quote(std::string_view text);

// Key/value pairs in file order; keys are unique.
class Metadata {
 public:
  using Entry = std::pair<std::string, Value>;

  // False when the key is there already; the first value stays.
  bool add(std::string key, Value value);
  const Value* find(std::string_view key) const;
  std::span<const Entry> entries() const { return entries_; }

  // Typed access. Errors: model_load, naming the key, when it is absent or of another kind. Integers accept
  // any integer type whose value fits; floats accept any float or integer type.
  Result<std::uint64_t> get_uint(std::string_view key) const;
  Result<double> get_float(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<const std::vector<std::string>*> get_strings(std::string_view key) const;
  Result<const Array*> get_array(std::string_view key) const;

 private:
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t, std::less<>> index_;  // not hashed: keys come from untrusted files
};

// For the writer and for tests.
Value make_value(std::uint32_t value);
Value make_value(std::uint64_t value);
Value make_value(std::int32_t value);
Value make_value(float value);
Value make_value(bool value);
Value make_value(std::string value);
Value make_value(const char* value);  // without it a literal would become a bool
Value make_value(std::vector<std::string> values);
Value make_value(std::vector<std::int32_t> values);
Value make_value(std::vector<float> values);

}  // namespace trine::gguf
