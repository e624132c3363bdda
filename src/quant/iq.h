#pragma once

#include "quant/float.h"

#include <cstdint>

namespace trine::quant {

// The types of 1 to 3 bits. Super-blocks of 256 values, in sub-blocks s of 32 and groups of 8. Values come 8
// or 4 at a time, as points of a code book (iq_grids.h) that an index stands for; signs, where there are any,
// are bits apart: bit j for value j of a group, set for a negative one. A sign field of 7 bits has the eighth
// left out: it makes the number of set bits even. Source: ggml-common.h (block_iq2_xxs …) and ggml-quants.c
// (dequantize_row_*) of https://github.com/ggml-org/ggml.
//
// All of them are x = scale·q with whole q and a scale for every 16 values at the least, given below:
//   IQ2_*    digits 0, 1, 2 are 8, 25, 43; scale = d·(2·s + 1)/8
//   IQ3_XXS  digits 0 … 7 are 4, 12, 20, 28, 36, 44, 52, 62; scale = d·(2·s + 1)/4
//   IQ3_S    a digit g is 2·g + 1; scale = d·(2·s + 1)
//   IQ1_*    digits 0, 1, 2 are −1, 0, 1, moved up or (shift bit set) down by an eighth: q = 8·(digit − 1) ±
//   1;
//            scale = d·(2·s + 1)/8
// Products have at most 22 digits, so no order of them rounds.

struct BlockIQ2_XXS {  // a scale for 32
  static constexpr int elements = 256;
  Half d;
  std::uint8_t qs[64];  // 8 bytes a sub-block: four indices, then a word of four signs of 7 bits and s of 4
};

struct BlockIQ2_XS {  // a scale for 16
  static constexpr int elements = 256;
  Half d;
  std::uint8_t qs[64];     // two bytes a group: index of 9 bits, signs of 7
  std::uint8_t scales[8];  // of a sub-block: s of its first half in the low four bits
};

struct BlockIQ2_S {  // a scale for 16
  static constexpr int elements = 256;
  Half d;
  std::uint8_t qs[32];     // a group's index, low 8 bits
  std::uint8_t signs[32];  // of a group
  std::uint8_t qh[8];      // of a sub-block: bits 8 and 9 of the index of group g at bits 2g
  std::uint8_t scales[8];  // as in IQ2_XS
};

struct BlockIQ3_XXS {  // a scale for 32
  static constexpr int elements = 256;
  Half d;
  std::uint8_t qs[64];                // an index for 4 values
  std::uint8_t signs_and_scales[32];  // a word a sub-block: four signs of 7 bits and s of 4
};

struct BlockIQ3_S {  // a scale for 32
  static constexpr int elements = 256;
  Half d;
  std::uint8_t qs[64];     // an index for 4 values, low 8 bits
  std::uint8_t qh[8];      // of a sub-block: bit i is bit 8 of its index i
  std::uint8_t signs[32];  // of a group
  std::uint8_t scales[4];  // s of sub-block i in nibble i mod 2 of byte i / 2
};

struct BlockIQ1_S {  // a scale and a shift for 32
  static constexpr int elements = 256;
  Half d;
  std::uint8_t qs[32];  // a group's index, low 8 bits
  std::uint8_t qh[16];  // two bytes a sub-block: bits 8 to 10 of the index of group g at bits 3g, s at bits
                        // 12 to 14, the shift bit
};

struct BlockIQ1_M {  // a scale for 16, a shift for 8
  static constexpr int elements = 256;
  std::uint8_t qs[32];  // a group's index, low 8 bits
  std::uint8_t
      qh[16];  // nibble g mod 2 of byte g / 2: bits 8 to 10 of the index of group g, then the shift bit
  std::uint8_t scales[8];  // four words of two bytes: s of 16 values, 4w to 4w + 3, at bits 0, 3, 6 and 9 of
                           // word w; its upper four bits are bits 4w to 4w + 3 of the half d
};

// The types of base 3, in the same form: x = d·(digit − 1).

struct BlockTQ1_0 {  // five digits a byte, as a fraction of 256: digit n of b is 3·(b·3ⁿ mod 256)/256
  static constexpr int elements = 256;
  std::uint8_t qs[48];  // value 32n + l: digit n of byte l < 32; value 160 + 16n + l: digit n of byte 32 + l
  std::uint8_t qh[4];   // value 240 + 4n + l: digit n of byte l, four digits
  Half d;
};

struct BlockTQ2_0 {  // two bits a digit (3 is 2 above zero): value 128h + 32j + l at bits 2j of qs[32h + l]
  static constexpr int elements = 256;
  std::uint8_t qs[64];
  Half d;
};

static_assert(sizeof(BlockIQ2_XXS) == 66 && sizeof(BlockIQ2_XS) == 74 && sizeof(BlockIQ2_S) == 82);
static_assert(sizeof(BlockIQ3_XXS) == 98 && sizeof(BlockIQ3_S) == 110);
static_assert(sizeof(BlockIQ1_S) == 50 && sizeof(BlockIQ1_M) == 56 && alignof(BlockIQ1_M) == 1);
static_assert(sizeof(BlockTQ1_0) == 54 && sizeof(BlockTQ2_0) == 66);

// A super-block as integers: value i is scale[i / 16] · q[i].
struct IntegerBlock {
  alignas(16) std::int8_t q[256];
  float scale[16];
};

void expand(const BlockIQ2_XXS& block, IntegerBlock& out);
void expand(const BlockIQ2_XS& block, IntegerBlock& out);
void expand(const BlockIQ2_S& block, IntegerBlock& out);
void expand(const BlockIQ3_XXS& block, IntegerBlock& out);
void expand(const BlockIQ3_S& block, IntegerBlock& out);
void expand(const BlockIQ1_S& block, IntegerBlock& out);
void expand(const BlockIQ1_M& block, IntegerBlock& out);
void expand(const BlockTQ1_0& block, IntegerBlock& out);
void expand(const BlockTQ2_0& block, IntegerBlock& out);

template <typename Block>
requires requires(const Block& block, IntegerBlock& out) {
  expand(block, out);
}
void decode(const Block& block, float* out) {
  IntegerBlock integers;
  expand(block, integers);
  for (int i = 0; i < 256; ++i) out[i] = integers.scale[i / 16] * static_cast<float>(integers.q[i]);
}

}  // namespace trine::quant
