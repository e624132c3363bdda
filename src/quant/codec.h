#pragma once

#include "base/error.h"
#include "gguf/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace trine::quant {

// Exact scalar decode of one block: reads `block_bytes` at any address, writes `block_elements` floats.
using DecodeBlock = void (*)(const std::byte* block, float* out);
// The same for `count` consecutive blocks.
using DecodeBlocks = void (*)(const std::byte* blocks, std::uint64_t count, float* out);

// A GGUF type we can compute with. The block layouts stand in the header of each family: float.h, legacy.h,
// k_quants.h, iq4.h, mxfp4.h, iq.h.
struct Codec {
  gguf::TensorType type;
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
  DecodeBlock decode_block;
  DecodeBlocks decode_blocks;

  std::uint64_t row_bytes(std::uint64_t columns) const { return columns / block_elements * block_bytes; }
  // `columns` must be a multiple of block_elements.
  void decode_row(const std::byte* row, std::uint64_t columns, float* out) const {
    decode_blocks(row, columns / block_elements, out);
  }
};

// Errors: unsupported, naming the type and listing the supported ones.
Result<const Codec*> find_codec(gguf::TensorType type);
std::span<const Codec> all_codecs();

}  // namespace trine::quant
