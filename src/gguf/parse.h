#pragma once

#include "base/error.h"
#include "gguf/file.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trine::gguf {

// The header of one GGUF file, checked; what File puts together. Not used outside this folder.
struct Header {
  std::uint32_t version = 0;
  std::uint64_t alignment = 32;
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // with data spans into the parsed bytes
  std::uint64_t end = 0;            // of the last tensor's data, or of the header where there is none
};

// A header longer than this is refused: real ones stay below 50 MB, and the limit bounds what a hostile file
// can make us allocate (numbers are widened to 8 bytes, so 8 times this).
inline constexpr std::uint64_t max_header_bytes = 256ull << 20;
inline constexpr int max_array_depth = 8;
inline constexpr std::uint64_t max_name_bytes = 65535;
inline constexpr std::uint64_t min_alignment = 8;
inline constexpr std::uint64_t max_alignment = 16ull << 20;

// `name` is the file's name for errors. Errors: not_gguf, unsupported, as File::open() has them.
Result<Header> parse_header(std::span<const std::byte> bytes, const std::string& name);

}  // namespace trine::gguf
