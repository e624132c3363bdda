#pragma once

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/neon_attend.h"
#include "cpu/kernels/neon_row.h"
#include "cpu/kernels/table.h"

// What neon.cpp and neon_i8mm.cpp share: the panel form of eight rows, and the fp32 helpers.

namespace trine::cpu {
namespace {  // see the top of unpack.h

struct Neon : NeonVectors {
  static constexpr int lanes = 8;
  static constexpr int tile = 4;
  static constexpr bool has_rows = true;
  static constexpr int fewest_for_tiles = 4;
  using Row = NeonRow;
  static constexpr bool multiplies_signed = true;

  struct Bits {
    uint32x4_t v[2];
  };

  // Loads of the same field of every row; lane r of out[k] has bytes 4k … 4k + 3 of row r.
  static void load_16_bytes(RowGroup rows, Bits* out) {
    each<2>([&](auto i) {
      const auto row = [&](int r) {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(rows.first + (4 * i + r) * rows.stride);
        return vreinterpretq_u32_u8(vld1q_u8(bytes));
      };
      const uint32x4_t row0 = row(0), row1 = row(1), row2 = row(2), row3 = row(3);
      const uint64x2_t even01 = vreinterpretq_u64_u32(vtrn1q_u32(row0, row1));
      const uint64x2_t odd01 = vreinterpretq_u64_u32(vtrn2q_u32(row0, row1));
      const uint64x2_t even23 = vreinterpretq_u64_u32(vtrn1q_u32(row2, row3));
      const uint64x2_t odd23 = vreinterpretq_u64_u32(vtrn2q_u32(row2, row3));
      out[0].v[i] = vreinterpretq_u32_u64(vzip1q_u64(even01, even23));
      out[1].v[i] = vreinterpretq_u32_u64(vzip1q_u64(odd01, odd23));
      out[2].v[i] = vreinterpretq_u32_u64(vzip2q_u64(even01, even23));
      out[3].v[i] = vreinterpretq_u32_u64(vzip2q_u64(odd01, odd23));
    });
  }
  template <typename T>
  static Bits load_each(RowGroup rows) {
    const auto row = [&](int r) {
      T value;
      __builtin_memcpy(&value, rows.first + r * rows.stride, sizeof value);
      return std::uint32_t{value};
    };
    return {uint32x4_t{row(0), row(1), row(2), row(3)}, uint32x4_t{row(4), row(5), row(6), row(7)}};
  }
  static Bits load_4_bytes(RowGroup rows) { return load_each<std::uint32_t>(rows); }
  static Bits load_2_bytes(RowGroup rows) { return load_each<std::uint16_t>(rows); }
  static Bits load_1_byte(RowGroup rows) { return load_each<std::uint8_t>(rows); }

  static Bits splat(std::uint32_t bits) { return {vdupq_n_u32(bits), vdupq_n_u32(bits)}; }
  static Bits bit_and(Bits a, Bits b) { return {vandq_u32(a.v[0], b.v[0]), vandq_u32(a.v[1], b.v[1])}; }
  static Bits bit_or(Bits a, Bits b) { return {vorrq_u32(a.v[0], b.v[0]), vorrq_u32(a.v[1], b.v[1])}; }
  static Bits bit_xor(Bits a, Bits b) { return {veorq_u32(a.v[0], b.v[0]), veorq_u32(a.v[1], b.v[1])}; }
  static Bits add_bits(Bits a, Bits b) { return {vaddq_u32(a.v[0], b.v[0]), vaddq_u32(a.v[1], b.v[1])}; }
  static Bits subtract_bits(Bits a, Bits b) { return {vsubq_u32(a.v[0], b.v[0]), vsubq_u32(a.v[1], b.v[1])}; }
  // By 0 … 31: the instruction that shifts right has no 0.
  template <int n>
  static Bits shift_left(Bits a) {
    return {vshlq_n_u32(a.v[0], n), vshlq_n_u32(a.v[1], n)};
  }
  template <int n>
  static Bits shift_right(Bits a) {
    if constexpr (n == 0)
      return a;
    else
      return {vshrq_n_u32(a.v[0], n), vshrq_n_u32(a.v[1], n)};
  }
  template <int n>
  static Bits shift_right_signed(Bits a) {
    return from_ints({vshrq_n_s32(to_ints(a).v[0], n), vshrq_n_s32(to_ints(a).v[1], n)});
  }
  // Every byte of `indices` (below 16) replaced by that entry of the table.
  static Bits look_up(const std::uint8_t (&table)[16], Bits indices) {
    const uint8x16_t entries = vld1q_u8(table);
    const auto entries_of = [&](uint32x4_t v) {
      return vreinterpretq_u32_u8(vqtbl1q_u8(entries, vreinterpretq_u8_u32(v)));
    };
    return {entries_of(indices.v[0]), entries_of(indices.v[1])};
  }

  static Floats as_float(Bits a) { return {vreinterpretq_f32_u32(a.v[0]), vreinterpretq_f32_u32(a.v[1])}; }
  static Floats to_float(Bits a) { return NeonVectors::to_float(to_ints(a)); }
  // Of the lower 16 bits of each lane.
  static Floats from_half(Bits a) {
    const auto widened = [](uint32x4_t v) { return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(v))); };
    return {widened(a.v[0]), widened(a.v[1])};
  }
  static float first(Floats a) { return vgetq_lane_f32(a.v[0], 0); }

  // out[t], lane r: += Σ of row r's bytes in w[0 … steps) times token t's, as 32-bit integers.
  template <typename U, int steps, int T>
  static void add_dots(const Bits* w, const std::int8_t* const* q, std::ptrdiff_t offset, Bits* out) {
    Ints sum[T];
    each<T>([&](auto t) { sum[t] = to_ints(out[t]); });
    each<steps / 4>([&](auto chunk) {  // of 16 columns
      int8x16_t x[T];
      each<T>([&](auto t) { x[t] = vld1q_s8(q[t] + offset + 16 * chunk); });
      each<4>([&](auto k) {
        each<2>([&](auto i) {
          const int8x16_t weights = vreinterpretq_s8_u32(w[4 * chunk + k].v[i]);
          each<T>([&](auto t) { sum[t].v[i] = vdotq_laneq_s32(sum[t].v[i], weights, x[t], k); });
        });
      });
    });
    each<T>([&](auto t) { out[t] = from_ints(sum[t]); });
  }

 protected:
  static Ints to_ints(Bits a) { return {vreinterpretq_s32_u32(a.v[0]), vreinterpretq_s32_u32(a.v[1])}; }
  static Bits from_ints(Ints a) { return {vreinterpretq_u32_s32(a.v[0]), vreinterpretq_u32_s32(a.v[1])}; }
};

float dot_f32(const float* a, const float* b, std::int64_t n) {
  float32x4_t sum[8];
  each<8>([&](auto k) { sum[k] = vdupq_n_f32(0.0f); });
  std::int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    each<8>([&](auto k) { sum[k] = vfmaq_f32(sum[k], vld1q_f32(a + i + 4 * k), vld1q_f32(b + i + 4 * k)); });
  float rest = 0.0f;
  for (; i < n; ++i) rest = __builtin_fmaf(a[i], b[i], rest);
  each<4>([&](auto k) { sum[k] = vaddq_f32(sum[k], sum[k + 4]); });
  return NeonVectors::sum({vaddq_f32(sum[0], sum[2]), vaddq_f32(sum[1], sum[3])}) + rest;
}

void to_f16(const float* x, std::uint16_t* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4) vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
  for (; i < n; ++i) out[i] = vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x[i]))), 0);
}

}  // namespace
}  // namespace trine::cpu
