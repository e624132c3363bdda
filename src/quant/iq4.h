#pragma once

#include "quant/float.h"

#include <cstdint>

namespace trine::quant {

// The non-linear 4-bit types: a nibble is an index into a fixed table of 16 levels, denser around zero. In
// each group of 32 values, byte j holds value j in its low and value j + 16 in its high four bits. Source:
// ggml-common.h (block_iq4_nl, block_iq4_xs, kvalues_iq4nl) and ggml-quants.c of
// https://github.com/ggml-org/ggml.

inline constexpr std::int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

struct BlockIQ4_NL {  // x = d·level[q]
  static constexpr int elements = 32;
  Half d;
  std::uint8_t qs[16];
};

// 8 sub-blocks of 32: x = d·(scale − 32)·level[q]. Scale s of 6 bits: low four from nibble s mod 2 of
// scales_l[s/2], upper two from bits 2s of the little-endian 16-bit word scales_h.
struct BlockIQ4_XS {
  static constexpr int elements = 256;
  Half d;
  std::uint8_t scales_h[2];
  std::uint8_t scales_l[4];
  std::uint8_t qs[128];
};

static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136 && alignof(BlockIQ4_XS) == 1);

// Scale of one sub-block, 32 already taken off.
inline int scale_of(const BlockIQ4_XS& block, int s) {
  const int low = block.scales_l[s / 2] >> (4 * (s % 2)) & 15;
  const int high = block.scales_h[s / 4] >> (2 * (s % 4)) & 3;
  return (low | high << 4) - 32;
}

inline void decode(const BlockIQ4_NL& block, float* out) {
  const float d = to_float(block.d);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(iq4_levels[block.qs[j] & 15]);
    out[j + 16] = d * static_cast<float>(iq4_levels[block.qs[j] >> 4]);
  }
}

inline void decode(const BlockIQ4_XS& block, float* out) {
  const float d = to_float(block.d);
  for (int s = 0; s < 8; ++s) {
    const float scale = d * static_cast<float>(scale_of(block, s));
    const std::uint8_t* qs = block.qs + 16 * s;
    for (int j = 0; j < 16; ++j) {
      out[32 * s + j] = scale * static_cast<float>(iq4_levels[qs[j] & 15]);
      out[32 * s + j + 16] = scale * static_cast<float>(iq4_levels[qs[j] >> 4]);
    }
  }
}

}  // namespace trine::quant
