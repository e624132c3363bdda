#include "gguf/parse.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>

namespace trine::gguf {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensor data is used as it lies in the file: little-endian");

// Reads little-endian values from the header and knows where it is, so that every error can say so.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& file_name)
      : bytes_(bytes),
        limit_(std::min<std::uint64_t>(bytes.size(), max_header_bytes)),
        file_name_(file_name) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return limit_ - position_; }
  // What is being read, for errors: "key 'general.name'".
  void enter(std::string subject) { subject_ = std::move(subject); }

  Error error(ErrorCode code, std::string what, std::uint64_t at) const {
    std::string where = file_name_;
    if (!subject_.empty()) where += ", " + subject_;
    return {.code = code, .what = std::move(what), .where = fmt::format("{}, byte {}", where, at)};
  }
  Error error(std::string what, std::uint64_t at, std::string expected, std::string actual) const {
    Error result = error(ErrorCode::not_gguf, std::move(what), at);
    result.expected = std::move(expected);
    result.actual = std::move(actual);
    return result;
  }

  // Fails unless `count` things of at least `each` bytes can still follow.
  Result<void> need(std::uint64_t count, std::uint64_t each, std::string_view what) const {
    if (count <= remaining() / each) return {};
    if (limit_ < bytes_.size()) {
      return fail(error(fmt::format("the header is too long while reading {}", what), position_,
                        fmt::format("at most {} bytes of header", max_header_bytes),
                        fmt::format("{} more items of at least {} bytes", count, each)));
    }
    Error result = error(fmt::format("the file ends inside {}", what), position_,
                         each == 1 ? fmt::format("{} more bytes", count)
                                   : fmt::format("{} more items of at least {} bytes", count, each),
                         fmt::format("{} bytes left", remaining()));
    result.hint = "The file is damaged or its download was cut short";
    return fail(std::move(result));
  }

  template <typename T>
  Result<T> read(std::string_view what) {
    TRINE_CHECK_OK(need(sizeof(T), 1, what));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  Result<std::string> read_string(std::string_view what) {
    TRINE_TRY(const auto length, read<std::uint64_t>(what));
    TRINE_CHECK_OK(need(length, 1, what));
    std::string text(reinterpret_cast<const char*>(bytes_.data() + position_), length);
    position_ += length;
    return text;
  }

  // A metadata key or a tensor name.
  Result<std::string> read_name(std::string_view what) {
    const std::uint64_t start = position_;
    TRINE_TRY(std::string name, read_string(what));
    if (!name.empty() && name.size() <= max_name_bytes) return name;
    return fail(error(fmt::format("{} has an impossible length", what), start,
                      fmt::format("1 to {} bytes", max_name_bytes), fmt::format("{} bytes", name.size())));
  }

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t limit_;
  std::uint64_t position_ = 0;
  const std::string& file_name_;
  std::string subject_;
};

// ---- what it is when it is not GGUF ----

std::string guess_format(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 64));
  if (head.starts_with("version https://git-lfs"))
    return "This is a Git LFS pointer, not the file itself; fetch it with git lfs pull";
  if (head.starts_with("PK\x03\x04"))
    return "This looks like a zip archive or a PyTorch checkpoint; convert it to GGUF";
  if (head.starts_with("\x1f\x8b")) return "This looks like a gzip file; unpack it first";
  if (head.starts_with("\x89HDF")) return "This looks like an HDF5 file; convert it to GGUF";
  if (head.starts_with("<!") || head.starts_with("<html"))
    return "This looks like a web page; the download probably failed";
  for (const std::string_view old : {"lmgg", "fmgg", "tjgg", "algg"}) {
    if (head.starts_with(old)) return "This is a GGML file from before GGUF; convert the model again";
  }
  if (head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5)
    return "This looks like a Python pickle; convert it to GGUF";
  if (head.size() > 8 && head[8] == '{') {
    std::uint64_t json_bytes = 0;
    std::memcpy(&json_bytes, head.data(), sizeof json_bytes);
    if (json_bytes <= bytes.size() - 8) return "This looks like a safetensors file; convert it to GGUF";
  }
  if (head.starts_with("{")) return "This looks like a JSON file";
  return {};
}

Result<std::uint32_t> read_version(std::span<const std::byte> bytes, Cursor& cursor) {
  if (bytes.empty()) return fail(cursor.error("the file is empty", 0, "a GGUF file", "0 bytes"));
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
    std::string head;
    for (const std::byte byte : bytes.first(std::min<std::size_t>(bytes.size(), 4)))
      head += fmt::format("{:02x} ", std::to_integer<unsigned>(byte));
    head.pop_back();
    Error error = cursor.error("not a GGUF file", 0, "47 47 55 46 (GGUF)", std::move(head));
    error.hint = guess_format(bytes);
    return fail(std::move(error));
  }
  TRINE_CHECK_OK(cursor.read<std::uint32_t>("the magic"));
  const std::uint64_t at = cursor.position();
  TRINE_TRY(const auto version, cursor.read<std::uint32_t>("the version"));
  if (version == 2 || version == 3) return version;

  Error error = cursor.error(ErrorCode::unsupported, "GGUF version is not supported", at);
  error.expected = "version 2 or 3";
  error.actual = fmt::format("version {}", version);
  if (version == 0) {
    error.code = ErrorCode::not_gguf;
  } else if (version == 1) {
    error.hint = "Version 1 was in use for some weeks in 2023; convert the model again";
  } else if ((version & 0xffff) == 0) {
    error.what = "big-endian GGUF files are not supported";
    error.expected = "a little-endian file";
    error.actual = "a big-endian file";
    error.hint = "Convert it with gguf_convert_endian.py of gguf-py";
  } else {
    error.hint = "It was written by a newer tool, or is damaged";
  }
  return fail(std::move(error));
}

// ---- metadata ----

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

// A count that could be true may still be a lie: room for the usual sizes is made at once, more grows with
// what is really read.
std::size_t first_reserve(std::uint64_t count) {
  return static_cast<std::size_t>(std::min<std::uint64_t>(count, 1 << 16));
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

Result<std::uint64_t> read_alignment(const Cursor& cursor, const Metadata& metadata) {
  constexpr std::string_view key = "general.alignment";
  const Value* value = metadata.find(key);
  if (value == nullptr) return 32;
  const std::string expected = fmt::format("a power of two from {} to {}", min_alignment, max_alignment);
  const auto alignment = metadata.get_uint(key);
  if (!alignment)
    return fail(cursor.error("impossible general.alignment", cursor.position(), expected, kind_of(*value)));
  if (*alignment < min_alignment || *alignment > max_alignment || !std::has_single_bit(*alignment)) {
    return fail(cursor.error("impossible general.alignment", cursor.position(), expected,
                             fmt::format("{}", *alignment)));
  }
  return *alignment;
}

// ---- tensors ----

constexpr std::uint64_t least_tensor_info_bytes = 8 + 1 + 4 + 8 + 4 + 8;

Result<void> read_dims(Cursor& cursor, TensorInfo& tensor) {
  const std::uint64_t at = cursor.position();
  TRINE_TRY(const auto n_dims, cursor.read<std::uint32_t>("the number of dimensions"));
  if (n_dims < 1 || n_dims > 4)
    return fail(cursor.error("impossible number of dimensions", at, "1 to 4", fmt::format("{}", n_dims)));
  tensor.elements = 1;
  for (std::uint32_t i = 0; i < n_dims; ++i) {
    TRINE_TRY(const auto dim, cursor.read<std::uint64_t>("the dimensions"));
    if (dim == 0)
      return fail(cursor.error("a dimension is zero", at, "1 or more", fmt::format("dimension {} of 0", i)));
    tensor.dims.push_back(dim);
    if (__builtin_mul_overflow(tensor.elements, dim, &tensor.elements) ||
        tensor.elements > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return fail(cursor.error("the dimensions overflow", at, "fewer than 2^63 elements",
                               fmt::format("{}", fmt::join(tensor.dims, " x "))));
    }
  }
  return {};
}

Result<void> read_type(Cursor& cursor, TensorInfo& tensor) {
  const std::uint64_t at = cursor.position();
  TRINE_TRY(const auto id, cursor.read<std::uint32_t>("the tensor type"));
  const TensorTypeInfo* type = find_tensor_type(id);
  if (type == nullptr) {
    Error error = cursor.error(ErrorCode::unsupported, "unknown tensor type", at);
    error.expected = "a type of ggml's list";
    error.actual = fmt::format("type id {}", id);
    error.hint = "The file was written by a newer tool, uses a type ggml has removed, or is damaged";
    return fail(std::move(error));
  }
  tensor.type = type->type;
  if (tensor.dims[0] % type->block_elements != 0) {
    return fail(cursor.error("a row is not a whole number of blocks", at,
                             fmt::format("a multiple of {} for {}", type->block_elements, type->name),
                             fmt::format("{} columns", tensor.dims[0])));
  }
  if (__builtin_mul_overflow(tensor.elements / type->block_elements, std::uint64_t{type->block_bytes},
                             &tensor.bytes)) {
    return fail(cursor.error("the size overflows", at, "fewer than 2^64 bytes",
                             fmt::format("{} elements of {}", tensor.elements, type->name)));
  }
  return {};
}

// `offset` becomes relative to the data section here; place_tensors() makes it absolute.
Result<TensorInfo> read_tensor_info(Cursor& cursor, std::uint64_t index) {
  cursor.enter(fmt::format("tensor {}", index));
  TensorInfo tensor;
  TRINE_TRY(tensor.name, cursor.read_name("a tensor name"));
  cursor.enter("tensor " + quote(tensor.name));
  TRINE_CHECK_OK(read_dims(cursor, tensor));
  TRINE_CHECK_OK(read_type(cursor, tensor));
  TRINE_TRY(tensor.offset, cursor.read<std::uint64_t>("the tensor offset"));
  return tensor;
}

// Turns relative offsets into checked spans of the file.
Result<void> place_tensors(std::span<const std::byte> bytes, Cursor& cursor, std::uint64_t alignment,
                           std::vector<TensorInfo>& tensors) {
  const std::uint64_t data_start = (cursor.position() + alignment - 1) / alignment * alignment;
  for (TensorInfo& tensor : tensors) {
    cursor.enter("tensor " + quote(tensor.name));
    if (tensor.offset % alignment != 0) {
      return fail(cursor.error("the tensor offset is misaligned", data_start,
                               fmt::format("a multiple of {}", alignment), fmt::format("{}", tensor.offset)));
    }
    std::uint64_t end = 0;
    if (__builtin_add_overflow(tensor.offset, data_start, &tensor.offset) ||
        __builtin_add_overflow(tensor.offset, tensor.bytes, &end) || end > bytes.size()) {
      Error error = cursor.error("the tensor does not lie inside the file", tensor.offset,
                                 fmt::format("{} bytes of data", tensor.bytes),
                                 fmt::format("a file of {} bytes", bytes.size()));
      error.hint = "The file is damaged or its download was cut short";
      return fail(std::move(error));
    }
    tensor.data = bytes.subspan(tensor.offset, tensor.bytes);
  }

  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return tensors[a].offset < tensors[b].offset; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const TensorInfo& before = tensors[order[i - 1]];
    const TensorInfo& after = tensors[order[i]];
    if (before.offset + before.bytes <= after.offset) continue;
    cursor.enter("tensor " + quote(after.name));
    return fail(cursor.error("two tensors overlap", after.offset,
                             fmt::format("{} to end before byte {}", quote(before.name), after.offset),
                             fmt::format("its end at byte {}", before.offset + before.bytes)));
  }
  cursor.enter({});
  return {};
}

}  // namespace

Result<Header> parse_header(std::span<const std::byte> bytes, const std::string& name, std::size_t part) {
  Cursor cursor(bytes, name);
  Header header;
  TRINE_TRY(header.version, read_version(bytes, cursor));
  TRINE_TRY(const auto n_tensors, cursor.read<std::uint64_t>("the tensor count"));
  TRINE_TRY(const auto n_entries, cursor.read<std::uint64_t>("the metadata count"));
  // A key of one byte, a type and a value of one byte.
  TRINE_CHECK_OK(cursor.need(n_entries, 8 + 1 + 4 + 1, "the metadata"));
  TRINE_TRY(header.metadata, read_metadata(cursor, n_entries));
  TRINE_TRY(header.alignment, read_alignment(cursor, header.metadata));

  TRINE_CHECK_OK(cursor.need(n_tensors, least_tensor_info_bytes, "the tensor list"));
  header.tensors.reserve(first_reserve(n_tensors));
  for (std::uint64_t i = 0; i < n_tensors; ++i) {
    TRINE_TRY(TensorInfo tensor, read_tensor_info(cursor, i));
    tensor.part = part;
    header.tensors.push_back(std::move(tensor));
  }
  cursor.enter({});
  TRINE_CHECK_OK(place_tensors(bytes, cursor, header.alignment, header.tensors));
  return header;
}

}  // namespace trine::gguf
