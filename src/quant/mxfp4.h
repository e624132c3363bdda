#pragma once

#include <bit>
#include <cstdint>

namespace trine::quant {

// OCP Microscaling FP4: 32 values of E2M1 share a power-of-two scale (E8M0: 2^(e − 127)).
// Byte j holds value j in its low and value j + 16 in its high four bits.
// Two habits of ggml are kept, because files are made for it: negative zero decodes to +0, and e = 255, NaN
// in the OCP specification, is the scale 2^128. Source:
// https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf, and ggml-common.h
// (block_mxfp4, kvalues_mxfp4) of https://github.com/ggml-org/ggml.

struct BlockMXFP4 {
  static constexpr int elements = 32;
  std::uint8_t e;
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

// Twice the E2M1 values, so that they are whole; the scale is halved in turn.
inline constexpr std::int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(e − 128), half the scale; the two smallest are subnormal.
inline float half_scale(std::uint8_t e) {
  const std::uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<std::uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

inline void decode(const BlockMXFP4& block, float* out) {
  const float d = half_scale(block.e);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(e2m1_doubled[block.qs[j] & 15]);
    out[j + 16] = d * static_cast<float>(e2m1_doubled[block.qs[j] >> 4]);
  }
}

}  // namespace trine::quant
