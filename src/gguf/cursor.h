#pragma once

#include "base/error.h"
#include "gguf/parse.h"

#include <fmt/format.h>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace trine::gguf {

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

// A count that could be true may still be a lie: room for the usual sizes is made at once, more grows with
// what is really read.
inline std::size_t first_reserve(std::uint64_t count) {
  return static_cast<std::size_t>(std::min<std::uint64_t>(count, 1 << 16));
}

}  // namespace trine::gguf
