#pragma once

#include "cpu/kernels/neon_vectors.h"
#include "cpu/kernels/rows.h"

// The row form for every ARMv8 processor with dot products of bytes (FEAT_DotProd), in pairs of vectors of
// 128 bits. Whatever is unsigned elsewhere has at most 6 bits (Q6_K) and fits signed bytes, so one
// instruction multiplies all.

namespace trine::cpu {
namespace {  // see the top of unpack.h

struct NeonRow : NeonVectors {
  static constexpr bool multiplies_signed = true;

  struct Bits {
    uint8x16_t v[2];
  };

  static Bits load_32_bytes(const void* from) {
    const auto* bytes = static_cast<const std::uint8_t*>(from);
    return {vld1q_u8(bytes), vld1q_u8(bytes + 16)};
  }
  // 16 bytes, then the same with every byte shifted right by 4.
  static Bits low_and_shifted_right_4(const void* from) {
    const uint8x16_t v = vld1q_u8(static_cast<const std::uint8_t*>(from));
    return {v, vshrq_n_u8(v, 4)};
  }
  // 16 in every byte whose bit of the 32 is set.
  static Bits sixteen_where_set(const std::uint8_t (&bits)[4]) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
    const auto sixteens = [&](int i) {
      const uint8x16_t byte_of = vcombine_u8(vdup_n_u8(bits[i]), vdup_n_u8(bits[i + 1]));
      return vandq_u8(vtstq_u8(byte_of, bit), vdupq_n_u8(16));
    };
    return {sixteens(0), sixteens(2)};
  }

  static Bits splat(std::uint32_t bits) {
    const uint8x16_t v = vreinterpretq_u8_u32(vdupq_n_u32(bits));
    return {v, v};
  }
  static Bits bit_and(Bits a, Bits b) { return {vandq_u8(a.v[0], b.v[0]), vandq_u8(a.v[1], b.v[1])}; }
  static Bits bit_or(Bits a, Bits b) { return {vorrq_u8(a.v[0], b.v[0]), vorrq_u8(a.v[1], b.v[1])}; }
  static Bits bit_xor(Bits a, Bits b) { return {veorq_u8(a.v[0], b.v[0]), veorq_u8(a.v[1], b.v[1])}; }
  // No byte borrows from the next.
  static Bits subtract_bits(Bits a, Bits b) { return {vsubq_u8(a.v[0], b.v[0]), vsubq_u8(a.v[1], b.v[1])}; }
  // Of every byte, since what is moved is masked to bits of its own byte; n is at most 7.
  template <int n>
  static Bits shift_left(Bits a) {
    return {vshlq_n_u8(a.v[0], n), vshlq_n_u8(a.v[1], n)};
  }
  template <int n>
  static Bits shift_right(Bits a) {
    return {vshrq_n_u8(a.v[0], n), vshrq_n_u8(a.v[1], n)};
  }
  static Bits look_up(const std::uint8_t (&table)[16], Bits indices) {
    const uint8x16_t entries = vld1q_u8(table);
    return {vqtbl1q_u8(entries, indices.v[0]), vqtbl1q_u8(entries, indices.v[1])};
  }

  static Ints load_8_pairs(const void* from) {
    return widened(vreinterpretq_u16_u8(vld1q_u8(static_cast<const std::uint8_t*>(from))));
  }
  static Ints eight_bytes(std::uint64_t bytes) { return widened(vmovl_u8(vcreate_u8(bytes))); }
  static Ints eight_pairs(std::uint64_t first, std::uint64_t second) {
    return widened(vcombine_u16(vcreate_u16(first), vcreate_u16(second)));
  }
  static Ints and_ints(Ints a, int mask) {
    return {vandq_s32(a.v[0], vdupq_n_s32(mask)), vandq_s32(a.v[1], vdupq_n_s32(mask))};
  }
  template <int n>
  static Ints shift_left_ints(Ints a) {
    return {vshlq_n_s32(a.v[0], n), vshlq_n_s32(a.v[1], n)};
  }
  template <int n>
  static Ints shift_right_ints(Ints a) {
    const auto shifted = [](int32x4_t v) {
      return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(v), n));
    };
    return {shifted(a.v[0]), shifted(a.v[1])};
  }
  template <int n>
  static Ints shift_right_signed_ints(Ints a) {
    return {vshrq_n_s32(a.v[0], n), vshrq_n_s32(a.v[1], n)};
  }

  static Floats half(const void* from) {
    const float32x4_t v = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half_bits(from))));
    return {v, v};
  }
  static Floats halves(const void* first, std::ptrdiff_t stride) {
    const auto bits = [&](int i) { return half_bits(static_cast<const std::byte*>(first) + i * stride); };
    const uint16x4_t low = {bits(0), bits(1), bits(2), bits(3)};
    const uint16x4_t high = {bits(4), bits(5), bits(6), bits(7)};
    return {vcvt_f32_f16(vreinterpret_f16_u16(low)), vcvt_f32_f16(vreinterpret_f16_u16(high))};
  }
  // Of 16 floats those with even and those with odd places.
  static void load_pairs(const float (&from)[16], Floats (&out)[2]) {
    const float32x4x2_t low = vld2q_f32(from), high = vld2q_f32(from + 8);
    each<2>([&](auto k) { out[k] = {low.val[k], high.val[k]}; });
  }
  static Floats load_even(const float (&from)[16]) {
    return {vld2q_f32(from).val[0], vld2q_f32(from + 8).val[0]};
  }
  static Floats negate(Floats a) { return {vnegq_f32(a.v[0]), vnegq_f32(a.v[1])}; }

  // dots less offset · counts, where the type has an offset.
  template <int offset>
  static Ints offset_dots(Ints dots, const std::int32_t* counts) {
    if constexpr (offset == 0) return dots;
    return {vmlsq_n_s32(dots.v[0], vld1q_s32(counts), offset),
            vmlsq_n_s32(dots.v[1], vld1q_s32(counts + 4), offset)};
  }

  static void prefetch_second_level(const void* from) { __builtin_prefetch(from, 0, 2); }

  // dots[half], lane s: Σ of q[s]'s bytes times x's, of columns 16·half … 16·half + 15 where U has two
  // halves, else of all 32 in dots[0].
  template <typename U>
  static void sub_dots(const Bits (&q)[8], const std::int8_t* x, Ints (&dots)[2]) {
    int32x4_t sums[U::halves][8];  // four of each sub-block
    each<8>([&](auto s) {
      each<2>([&](auto half) {
        constexpr int at = U::halves == 2 ? half : 0;
        const int32x4_t before = half == at ? vdupq_n_s32(0) : sums[0][s];
        sums[at][s] = vdotq_s32(before, vreinterpretq_s8_u8(q[s].v[half]), vld1q_s8(x + 32 * s + 16 * half));
      });
    });
    each<U::halves>([&](auto half) {
      each<2>([&](auto k) {
        const int32x4_t* four = sums[half] + 4 * k;
        dots[half].v[k] = vpaddq_s32(vpaddq_s32(four[0], four[1]), vpaddq_s32(four[2], four[3]));
      });
    });
  }

 private:
  static std::uint16_t half_bits(const void* from) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, from, sizeof bits);
    return bits;
  }
  static Ints widened(uint16x8_t v) {
    return {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(v))), vreinterpretq_s32_u32(vmovl_high_u16(v))};
  }
};

// 8-bit blocks of a row, from a multiple of 32 columns on.
void quantize(const float* x, std::int64_t column, std::int64_t columns, Q8Group* row) {
  for (const float* const end = x + columns; x != end; x += q8_block, column += q8_block) {
    Q8Group& group = row[column / group_columns];
    const auto block = static_cast<std::size_t>(column / q8_block % group_sub_blocks);
    float32x4_t v[8];
    // As integers, magnitudes keep their order, and infinities and NaNs are the largest.
    uint32x4_t largest = vdupq_n_u32(0);
    for (int k = 0; k < 8; ++k) {
      v[k] = vld1q_f32(x + 4 * k);
      largest = vmaxq_u32(largest, vreinterpretq_u32_f32(vabsq_f32(v[k])));
    }
    const std::uint32_t bits = vmaxvq_u32(largest);
    const float scale = bits < 0x7F800000u ? __builtin_bit_cast(float, bits) / 127.0f : __builtin_nanf("");
    int8x16_t bytes[2] = {vdupq_n_s8(0), vdupq_n_s8(0)};
    if (scale > 0.0f) {
      const auto four = [&](int k) { return vcvtnq_s32_f32(vdivq_f32(v[k], vdupq_n_f32(scale))); };
      const auto eight = [&](int k) {
        return vqmovn_s16(vcombine_s16(vqmovn_s32(four(k)), vqmovn_s32(four(k + 1))));
      };
      for (int half = 0; half < 2; ++half)
        bytes[half] = vmaxq_s8(vcombine_s8(eight(4 * half), eight(4 * half + 2)), vdupq_n_s8(-127));
    }
    std::int32_t sums[2];
    for (int half = 0; half < 2; ++half) {
      vst1q_s8(group.q + q8_block * static_cast<std::int64_t>(block) + 16 * half, bytes[half]);
      sums[half] = vaddlvq_s8(bytes[half]);
    }
    set_block_sums(group, block, scale, sums[0], sums[1]);
  }
}

}  // namespace
}  // namespace trine::cpu
