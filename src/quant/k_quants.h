#pragma once

#include "quant/float.h"

#include <cstdint>

namespace trine::quant {

// The K family: super-blocks of 256 values. A super-block is cut into sub-blocks with small integer scales
// (and minima), which are themselves scaled by the half-precision d (and dmin). Source: ggml-common.h
// (block_q2_K …) and ggml-quants.c (dequantize_row_*) of https://github.com/ggml-org/ggml. Products are
// rounded as there: (d·scale) first, then ·q, then −(dmin·min).

// 16 sub-blocks of 16: x = d·scale·q − dmin·min, q of 2 bits.
// scales[s]: scale in the low, min in the high four bits. The value 128·h + 32·j + l lies in bits 2j of
// qs[32·h + l].
struct BlockQ2_K {
  static constexpr int elements = 256;
  std::uint8_t scales[16];
  std::uint8_t qs[64];
  Half d;
  Half dmin;
};

// 16 sub-blocks of 16: x = d·(scale − 32)·q, q of 3 bits less 4. Low two bits as in Q2_K; the third bit of
// value 128·h + 32·j + l is bit 4h + j of hmask[l]. Scales of 6 bits: see unpack_scales().
struct BlockQ3_K {
  static constexpr int elements = 256;
  std::uint8_t hmask[32];
  std::uint8_t qs[64];
  std::uint8_t scales[12];
  Half d;
};

// 8 sub-blocks of 32: x = d·scale·q − dmin·min, q of 4 bits: the value 64·c + l lies in the low, 64·c + 32 +
// l in the high four bits of qs[32·c + l]. Scales and mins of 6 bits: see unpack_scales_and_mins().
struct BlockQ4_K {
  static constexpr int elements = 256;
  Half d;
  Half dmin;
  std::uint8_t scales[12];
  std::uint8_t qs[128];
};

// As Q4_K with a fifth bit: bit s of qh[l] belongs to value 32·s + l.
struct BlockQ5_K {
  static constexpr int elements = 256;
  Half d;
  Half dmin;
  std::uint8_t scales[12];
  std::uint8_t qh[32];
  std::uint8_t qs[128];
};

// 16 sub-blocks of 16: x = d·scale·(q − 32), q of 6 bits. In each half h of 128 values, value 32·j + l takes
// its low four bits from ql[64·h + 32·(j mod 2) + l] (low nibble for j < 2, else high) and its upper two from
// bits 2j of qh[32·h + l].
struct BlockQ6_K {
  static constexpr int elements = 256;
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t scales[16];
  Half d;
};

static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 1);

// Q3_K: 16 scales of 6 bits, still to be lessened by 32. Low four bits of scale s: nibble s/8 of packed[s mod
// 8]; upper two: bits 2·(s/4) of packed[8 + s mod 4].
inline void unpack_scales(const std::uint8_t (&packed)[12], std::uint8_t (&scales)[16]) {
  for (int s = 0; s < 16; ++s) {
    const int low = packed[s % 8] >> (4 * (s / 8)) & 15;
    const int high = packed[8 + s % 4] >> (2 * (s / 4)) & 3;
    scales[s] = static_cast<std::uint8_t>(low | high << 4);
  }
}

// Q4_K and Q5_K: 8 scales and 8 mins of 6 bits. The first four of each lie in the low six bits of
// packed[0..3] and packed[4..7]; of the last four, the low nibbles are those of packed[8..11] (scale low, min
// high) and the upper two bits the top of packed[0..3] and packed[4..7].
struct ScalesAndMins {
  std::uint8_t scales[8];
  std::uint8_t mins[8];
};
inline ScalesAndMins unpack_scales_and_mins(const std::uint8_t (&packed)[12]) {
  ScalesAndMins result{};
  for (int s = 0; s < 4; ++s) {
    result.scales[s] = packed[s] & 63;
    result.mins[s] = packed[s + 4] & 63;
    result.scales[s + 4] = static_cast<std::uint8_t>((packed[s + 8] & 15) | (packed[s] >> 6) << 4);
    result.mins[s + 4] = static_cast<std::uint8_t>((packed[s + 8] >> 4) | (packed[s + 4] >> 6) << 4);
  }
  return result;
}

inline void decode(const BlockQ2_K& block, float* out) {
  const float d = to_float(block.d);
  const float dmin = to_float(block.dmin);
  for (int s = 0; s < 16; ++s) {
    const float scale = d * static_cast<float>(block.scales[s] & 15);
    const float min = dmin * static_cast<float>(block.scales[s] >> 4);
    const std::uint8_t* qs = block.qs + 32 * (s / 8) + 16 * (s % 2);
    const int shift = 2 * (s / 2 % 4);
    for (int l = 0; l < 16; ++l) out[16 * s + l] = scale * static_cast<float>(qs[l] >> shift & 3) - min;
  }
}

inline void decode(const BlockQ3_K& block, float* out) {
  const float d = to_float(block.d);
  std::uint8_t scales[16];
  unpack_scales(block.scales, scales);
  for (int s = 0; s < 16; ++s) {
    const float scale = d * static_cast<float>(scales[s] - 32);
    const std::uint8_t* qs = block.qs + 32 * (s / 8) + 16 * (s % 2);
    const std::uint8_t* hmask = block.hmask + 16 * (s % 2);
    const int shift = 2 * (s / 2 % 4);
    for (int l = 0; l < 16; ++l) {
      const int q = (qs[l] >> shift & 3) | (hmask[l] >> (s / 2) & 1) << 2;
      out[16 * s + l] = scale * static_cast<float>(q - 4);
    }
  }
}

inline void decode(const BlockQ4_K& block, float* out) {
  const float d = to_float(block.d);
  const float dmin = to_float(block.dmin);
  const ScalesAndMins sub = unpack_scales_and_mins(block.scales);
  for (int s = 0; s < 8; ++s) {
    const float scale = d * static_cast<float>(sub.scales[s]);
    const float min = dmin * static_cast<float>(sub.mins[s]);
    const std::uint8_t* qs = block.qs + 32 * (s / 2);
    const int shift = 4 * (s % 2);
    for (int l = 0; l < 32; ++l) out[32 * s + l] = scale * static_cast<float>(qs[l] >> shift & 15) - min;
  }
}

inline void decode(const BlockQ5_K& block, float* out) {
  const float d = to_float(block.d);
  const float dmin = to_float(block.dmin);
  const ScalesAndMins sub = unpack_scales_and_mins(block.scales);
  for (int s = 0; s < 8; ++s) {
    const float scale = d * static_cast<float>(sub.scales[s]);
    const float min = dmin * static_cast<float>(sub.mins[s]);
    const std::uint8_t* qs = block.qs + 32 * (s / 2);
    const int shift = 4 * (s % 2);
    for (int l = 0; l < 32; ++l) {
      const int q = (qs[l] >> shift & 15) | (block.qh[l] >> s & 1) << 4;
      out[32 * s + l] = scale * static_cast<float>(q) - min;
    }
  }
}

inline void decode(const BlockQ6_K& block, float* out) {
  const float d = to_float(block.d);
  for (int s = 0; s < 16; ++s) {
    const float scale = d * static_cast<float>(block.scales[s]);
    const int j = s / 2 % 4;
    const std::uint8_t* ql = block.ql + 64 * (s / 8) + 32 * (j % 2) + 16 * (s % 2);
    const std::uint8_t* qh = block.qh + 32 * (s / 8) + 16 * (s % 2);
    for (int l = 0; l < 16; ++l) {
      const int q = (ql[l] >> (4 * (j / 2)) & 15) | (qh[l] >> (2 * j) & 3) << 4;
      out[16 * s + l] = scale * static_cast<float>(q - 32);
    }
  }
}

}  // namespace trine::quant
