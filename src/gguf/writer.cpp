#include "gguf/writer.h"

#include "base/check.h"
#include "base/file.h"
#include "gguf/parse.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <type_traits>

namespace trine::gguf {
namespace {

// ggml keeps a name and its terminator in 64 bytes and refuses longer ones.
constexpr std::size_t max_tensor_name_bytes = 63;
constexpr std::string_view alignment_key = "general.alignment";

std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

tl::unexpected<Error> invalid(std::string what, std::string where, std::string expected, std::string actual) {
  return fail({.code = ErrorCode::validation_failed,
               .what = std::move(what),
               .where = std::move(where),
               .expected = std::move(expected),
               .actual = std::move(actual)});
}

template <typename T>
void append(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void append_string(std::string& out, std::string_view text) {
  append(out, std::uint64_t{text.size()});
  out += text;
}

// ---- values: held widened, stored in their own type ----

template <typename Stored, typename Widened>
bool append_number(std::string& out, Widened value) {
  if constexpr (std::is_integral_v<Stored>) {
    if (static_cast<Widened>(static_cast<Stored>(value)) != value) return false;
  } else {
    if (std::isfinite(value) && std::abs(value) > std::numeric_limits<Stored>::max()) return false;
  }
  append(out, static_cast<Stored>(value));
  return true;
}

// False when the number does not fit its type, or is of another kind than the type says.
bool append_scalar(std::string& out, ValueType type, std::uint64_t value) {
  switch (type) {
    case ValueType::uint8:
      return append_number<std::uint8_t>(out, value);
    case ValueType::uint16:
      return append_number<std::uint16_t>(out, value);
    case ValueType::uint32:
      return append_number<std::uint32_t>(out, value);
    case ValueType::uint64:
      return append_number<std::uint64_t>(out, value);
    case ValueType::boolean:
      return value <= 1 && append_number<std::uint8_t>(out, value);
    default:
      return false;
  }
}

bool append_scalar(std::string& out, ValueType type, std::int64_t value) {
  switch (type) {
    case ValueType::int8:
      return append_number<std::int8_t>(out, value);
    case ValueType::int16:
      return append_number<std::int16_t>(out, value);
    case ValueType::int32:
      return append_number<std::int32_t>(out, value);
    case ValueType::int64:
      return append_number<std::int64_t>(out, value);
    default:
      return false;
  }
}

bool append_scalar(std::string& out, ValueType type, double value) {
  switch (type) {
    case ValueType::float32:
      return append_number<float>(out, value);
    case ValueType::float64:
      return append_number<double>(out, value);
    default:
      return false;
  }
}

bool append_scalar(std::string& out, ValueType type, bool value) {
  if (type != ValueType::boolean) return false;
  append(out, std::uint8_t{value});
  return true;
}

bool append_scalar(std::string& out, ValueType type, const std::string& value) {
  if (type != ValueType::string) return false;
  append_string(out, value);
  return true;
}

bool append_array(std::string& out, const Array& array, int depth);

bool append_elements(std::string& out, ValueType type, const std::vector<Array>& elements, int depth) {
  return type == ValueType::array && std::all_of(elements.begin(), elements.end(), [&](const Array& element) {
           return append_array(out, element, depth + 1);
         });
}

template <typename T>
bool append_elements(std::string& out, ValueType type, const std::vector<T>& elements, int) {
  return std::all_of(elements.begin(), elements.end(),
                     [&](const T& element) { return append_scalar(out, type, element); });
}

bool append_array(std::string& out, const Array& array, int depth) {
  if (depth > max_array_depth) return false;
  append(out, static_cast<std::uint32_t>(array.element_type));
  append(out, std::uint64_t{array.size()});
  return std::visit(
      [&](const auto& elements) { return append_elements(out, array.element_type, elements, depth); },
      array.values);
}

bool append_value(std::string& out, const Value& value) {
  append(out, static_cast<std::uint32_t>(value.type));
  if (const auto* array = std::get_if<Array>(&value.data))
    return value.type == ValueType::array && append_array(out, *array, 1);
  return std::visit(
      [&](const auto& scalar) {
        if constexpr (std::is_same_v<std::decay_t<decltype(scalar)>, Array>)
          return false;
        else
          return append_scalar(out, value.type, scalar);
      },
      value.data);
}

}  // namespace

struct Writer::State {
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dims;
    TensorType type = TensorType::F32;
    std::uint64_t bytes = 0;
    std::uint64_t offset = 0;                        // from the start of the data
    std::map<std::uint64_t, std::uint64_t> written;  // disjoint ranges [begin, end), joined when they touch
  };

  std::string path;
  std::uint64_t alignment = 0;
  bool has_alignment_key = false;
  std::set<std::string, std::less<>> keys;
  std::set<std::string, std::less<>> names;
  std::string metadata;  // as it goes into the file
  std::vector<Tensor> tensors;
  std::uint64_t data_bytes = 0;  // padded

  std::string temporary_path;  // empty when there is none to remove
  int descriptor = -1;
  std::uint64_t data_start = 0;
  bool finished = false;
  std::mutex mutex;  // guards Tensor::written

  ~State() {
    if (descriptor >= 0) ::close(descriptor);
    if (!temporary_path.empty()) ::unlink(temporary_path.c_str());
  }

  std::string header() const;
  Result<void> create();
  Result<void> write_at(std::uint64_t offset, const std::byte* data, std::uint64_t size) const;
};

std::string Writer::State::header() const {
  std::string out = "GGUF";
  append(out, std::uint32_t{3});
  append(out, std::uint64_t{tensors.size()});
  append(out, std::uint64_t{keys.size()});
  out += metadata;
  for (const Tensor& tensor : tensors) {
    append_string(out, tensor.name);
    append(out, static_cast<std::uint32_t>(tensor.dims.size()));
    for (const std::uint64_t dim : tensor.dims) append(out, dim);
    append(out, static_cast<std::uint32_t>(tensor.type));
    append(out, tensor.offset);
  }
  out.resize(align_up(out.size(), alignment), '\0');
  return out;
}

// Opens a temporary file beside the final one, under a name nobody else uses.
Result<void> Writer::State::create() {
  do {
    temporary_path = temporary_name(path);
    descriptor = ::open(temporary_path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EEXIST);
  if (descriptor >= 0) return {};
  temporary_path.clear();
  return system_error("cannot create file", path);
}

Result<void> Writer::State::write_at(std::uint64_t offset, const std::byte* data, std::uint64_t size) const {
  while (size > 0) {
    const std::size_t chunk = std::min<std::uint64_t>(size, 1ull << 30);
    const ssize_t written = ::pwrite(descriptor, data, chunk, static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return system_error("cannot write file", temporary_path);
    }
    data += written;
    offset += static_cast<std::uint64_t>(written);
    size -= static_cast<std::uint64_t>(written);
  }
  return {};
}

Writer::Writer(std::string path, std::uint64_t alignment) : state_(std::make_unique<State>()) {
  check(std::has_single_bit(alignment) && alignment >= min_alignment && alignment <= max_alignment,
        "gguf::Writer: the alignment must be a power of two that the reader accepts");
  state_->path = link_target(path);
  state_->alignment = alignment;
  if (alignment != 32) {
    const auto added =
        add_metadata(std::string(alignment_key), make_value(static_cast<std::uint32_t>(alignment)));
    check(added.has_value(), "gguf::Writer: the first key cannot be refused");
  }
}

Writer::~Writer() = default;

Result<void> Writer::add_metadata(std::string key, Value value) {
  check(state_->descriptor < 0 && !state_->finished, "gguf::Writer: add_metadata after begin");
  const std::string where = "key " + quote(key);
  if (key.empty() || key.size() > max_name_bytes)
    return invalid("impossible metadata key", where, fmt::format("1 to {} bytes", max_name_bytes),
                   fmt::format("{} bytes", key.size()));
  if (key == alignment_key) {
    const auto* number = std::get_if<std::uint64_t>(&value.data);
    if (number == nullptr || value.type != ValueType::uint32 || *number != state_->alignment)
      return invalid("general.alignment differs from the writer's", where,
                     fmt::format("{}", state_->alignment),
                     number == nullptr ? kind_of(value) : fmt::format("{} as {}", *number, kind_of(value)));
    if (state_->keys.count(key) != 0) return {};  // the writer added it itself
  }
  if (state_->keys.count(key) != 0) return invalid("a metadata key appears twice", where, {}, {});

  std::string encoded;
  append_string(encoded, key);
  if (!append_value(encoded, value))
    return invalid("a metadata value does not fit its type", where, kind_of(value),
                   "another kind, or out of range");
  state_->metadata += encoded;
  state_->keys.insert(std::move(key));
  return {};
}

Result<std::size_t> Writer::add_tensor(std::string name, std::vector<std::uint64_t> dims, TensorType type) {
  check(state_->descriptor < 0 && !state_->finished, "gguf::Writer: add_tensor after begin");
  const std::string where = "tensor " + quote(name);
  if (name.empty() || name.size() > max_tensor_name_bytes)
    return invalid("impossible tensor name", where, fmt::format("1 to {} bytes", max_tensor_name_bytes),
                   fmt::format("{} bytes", name.size()));
  if (state_->names.count(name) != 0) return invalid("two tensors have the same name", where, {}, {});
  const TensorTypeInfo* type_info = find_tensor_type(static_cast<std::uint32_t>(type));
  if (type_info == nullptr)
    return invalid("unknown tensor type", where, {},
                   fmt::format("type id {}", static_cast<std::uint32_t>(type)));
  const std::string shape = fmt::format("{}", fmt::join(dims, " x "));
  if (dims.empty() || dims.size() > 4 || std::count(dims.begin(), dims.end(), 0u) != 0)
    return invalid("impossible dimensions", where, "1 to 4, none of them zero", shape);
  if (dims[0] % type_info->block_elements != 0)
    return invalid("a row is not a whole number of blocks", where,
                   fmt::format("a multiple of {} for {}", type_info->block_elements, type_info->name), shape);

  // Half of the range is left for the header and the padding.
  constexpr auto max_bytes = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 2;
  std::uint64_t elements = 1;
  std::uint64_t bytes = 0;
  bool overflow = false;
  for (const std::uint64_t dim : dims)
    overflow = overflow || __builtin_mul_overflow(elements, dim, &elements);
  overflow = overflow || __builtin_mul_overflow(elements / type_info->block_elements,
                                                std::uint64_t{type_info->block_bytes}, &bytes);
  if (overflow || bytes > max_bytes || state_->data_bytes > max_bytes - bytes)
    return invalid("the size overflows", where, fmt::format("at most {} bytes in all", max_bytes), shape);

  State::Tensor tensor;
  tensor.name = name;
  tensor.dims = std::move(dims);
  tensor.type = type;
  tensor.bytes = bytes;
  tensor.offset = state_->data_bytes;
  state_->data_bytes = align_up(state_->data_bytes + bytes, state_->alignment);
  state_->names.insert(std::move(name));
  state_->tensors.push_back(std::move(tensor));
  return state_->tensors.size() - 1;
}

Result<void> Writer::begin() {
  check(state_->descriptor < 0 && !state_->finished, "gguf::Writer: begin twice");
  const std::string header = state_->header();
  if (header.size() > max_header_bytes)
    return invalid("the header is too long", state_->path, fmt::format("at most {} bytes", max_header_bytes),
                   fmt::format("{} bytes", header.size()));
  TRINE_CHECK_OK(state_->create());
  state_->data_start = header.size();
  // Reserving the space now tells about a full disk before hours of work; not every file system can.
  const auto size = static_cast<off_t>(total_bytes());
  if (::fallocate(state_->descriptor, 0, 0, size) != 0) {
    if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)
      return system_error(fmt::format("no room for {} bytes", size), state_->path);
    if (::ftruncate(state_->descriptor, size) != 0)
      return system_error("cannot size file", state_->temporary_path);
  }
  return state_->write_at(0, reinterpret_cast<const std::byte*>(header.data()), header.size());
}

Result<void> Writer::write(std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) {
  check(state_->descriptor >= 0, "gguf::Writer: write before begin or after finish");
  check(index < state_->tensors.size(), "gguf::Writer: no such tensor");
  State::Tensor& tensor = state_->tensors[index];
  if (offset > tensor.bytes || bytes.size() > tensor.bytes - offset)
    return invalid("a write goes past its tensor", "tensor " + quote(tensor.name),
                   fmt::format("at most {} bytes", tensor.bytes),
                   fmt::format("{} bytes at {}", bytes.size(), offset));
  if (bytes.empty()) return {};
  TRINE_CHECK_OK(state_->write_at(state_->data_start + tensor.offset + offset, bytes.data(), bytes.size()));

  const std::lock_guard lock(state_->mutex);
  std::uint64_t begin = offset;
  std::uint64_t end = offset + bytes.size();
  auto range = tensor.written.upper_bound(begin);
  if (range != tensor.written.begin() && std::prev(range)->second >= begin) --range;
  while (range != tensor.written.end() && range->first <= end) {
    begin = std::min(begin, range->first);
    end = std::max(end, range->second);
    range = tensor.written.erase(range);
  }
  tensor.written.emplace(begin, end);
  return {};
}

Result<void> Writer::finish(Existing existing) {
  check(state_->descriptor >= 0, "gguf::Writer: finish before begin or twice");
  for (const State::Tensor& tensor : state_->tensors) {
    std::uint64_t written = 0;
    for (const auto& [begin, end] : tensor.written) written += end - begin;
    if (written != tensor.bytes)
      return invalid("a tensor was not written whole", "tensor " + quote(tensor.name),
                     fmt::format("{} bytes", tensor.bytes), fmt::format("{} bytes", written));
  }
  if (::fsync(state_->descriptor) != 0)
    return system_error("cannot write file to disk", state_->temporary_path);
  if (::close(std::exchange(state_->descriptor, -1)) != 0)
    return system_error("cannot close file", state_->temporary_path);
  TRINE_CHECK_OK(put_in_place(state_->temporary_path, state_->path, [&]() -> Result<void> {
    if (existing == Existing::replace) return {};
    return fail({.code = ErrorCode::usage, .what = "the file exists", .where = state_->path});
  }));
  state_->temporary_path.clear();
  state_->finished = true;
  return {};
}

std::uint64_t Writer::tensor_bytes(std::size_t index) const {
  check(index < state_->tensors.size(), "gguf::Writer: no such tensor");
  return state_->tensors[index].bytes;
}

std::uint64_t Writer::total_bytes() const {
  check(state_->data_start > 0, "gguf::Writer: total_bytes before begin");
  return state_->data_start + state_->data_bytes;
}

}  // namespace trine::gguf
