#include "gguf/parse.h"

#include "gguf/cursor.h"
#include "gguf/parse_metadata.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

namespace trine::gguf {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensor data is used as it lies in the file: little-endian");

// ---- what it is when it is not GGUF ----

constexpr std::pair<std::string_view, std::string_view> compressed[] = {
    {"\x1f\x8b", "a gzip"},
    {"\xfd"
     "7zXZ",
     "an xz"},
    {"\x28\xb5\x2f\xfd", "a zstd"},
    {"BZh", "a bzip2"},
    {"7z\xbc\xaf\x27\x1c", "a 7-Zip"},
};

std::string guess_format(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 64));
  if (head.starts_with("version https://git-lfs"))
    return "This is a Git LFS pointer, not the file itself; fetch it with git lfs pull";
  if (head.starts_with("PK\x03\x04"))
    return "This looks like a zip archive or a PyTorch checkpoint; convert it to GGUF";
  for (const auto& [magic, name] : compressed) {
    if (head.starts_with(magic)) return fmt::format("This looks like {} file; unpack it first", name);
  }
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

Result<Header> parse_header(std::span<const std::byte> bytes, const std::string& name) {
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
    header.tensors.push_back(std::move(tensor));
  }
  cursor.enter({});
  header.end = cursor.position();
  TRINE_CHECK_OK(place_tensors(bytes, cursor, header.alignment, header.tensors));
  for (const TensorInfo& tensor : header.tensors)
    header.end = std::max(header.end, tensor.offset + tensor.bytes);
  return header;
}

}  // namespace trine::gguf
