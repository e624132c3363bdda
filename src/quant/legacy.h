#pragma once

#include "quant/float.h"

#include <cstdint>
#include <cstring>

namespace trine::quant {

// The first family of GGUF types: 32 values share one half-precision scale d, and in the _1 types a minimum
// m. Nibbles are split in halves: byte j holds value j in its low and value j + 16 in its high four bits. In
// the 5-bit types, bit i of the little-endian 32-bit word `qh` is the fifth bit of value i. Source:
// ggml-common.h (block_q4_0 …) and ggml-quants.c (dequantize_row_*) of https://github.com/ggml-org/ggml.

struct BlockQ4_0 {  // x = d·(q − 8)
  static constexpr int elements = 32;
  Half d;
  std::uint8_t qs[16];
};

struct BlockQ4_1 {  // x = d·q + m
  static constexpr int elements = 32;
  Half d;
  Half m;
  std::uint8_t qs[16];
};

struct BlockQ5_0 {  // x = d·(q − 16)
  static constexpr int elements = 32;
  Half d;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};

struct BlockQ5_1 {  // x = d·q + m
  static constexpr int elements = 32;
  Half d;
  Half m;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};

struct BlockQ8_0 {  // x = d·q
  static constexpr int elements = 32;
  Half d;
  std::int8_t qs[32];
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 1);

inline void decode(const BlockQ4_0& block, float* out) {
  const float d = to_float(block.d);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>((block.qs[j] & 15) - 8);
    out[j + 16] = d * static_cast<float>((block.qs[j] >> 4) - 8);
  }
}

inline void decode(const BlockQ4_1& block, float* out) {
  const float d = to_float(block.d);
  const float m = to_float(block.m);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(block.qs[j] & 15) + m;
    out[j + 16] = d * static_cast<float>(block.qs[j] >> 4) + m;
  }
}

// The fifth bits as one word.
inline std::uint32_t high_bits(const std::uint8_t (&qh)[4]) {
  std::uint32_t word = 0;
  std::memcpy(&word, qh, sizeof word);
  return word;
}

inline void decode(const BlockQ5_0& block, float* out) {
  const float d = to_float(block.d);
  const std::uint32_t high = high_bits(block.qh);
  for (int j = 0; j < 16; ++j) {
    const int low_half = (block.qs[j] & 15) | static_cast<int>((high >> j & 1) << 4);
    const int high_half = (block.qs[j] >> 4) | static_cast<int>((high >> (j + 16) & 1) << 4);
    out[j] = d * static_cast<float>(low_half - 16);
    out[j + 16] = d * static_cast<float>(high_half - 16);
  }
}

inline void decode(const BlockQ5_1& block, float* out) {
  const float d = to_float(block.d);
  const float m = to_float(block.m);
  const std::uint32_t high = high_bits(block.qh);
  for (int j = 0; j < 16; ++j) {
    const int low_half = (block.qs[j] & 15) | static_cast<int>((high >> j & 1) << 4);
    const int high_half = (block.qs[j] >> 4) | static_cast<int>((high >> (j + 16) & 1) << 4);
    out[j] = d * static_cast<float>(low_half) + m;
    out[j + 16] = d * static_cast<float>(high_half) + m;
  }
}

inline void decode(const BlockQ8_0& block, float* out) {
  const float d = to_float(block.d);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(block.qs[j]);
}

}  // namespace trine::quant
