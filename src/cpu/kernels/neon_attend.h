#pragma once

#include "cpu/kernels/attend.h"
#include "cpu/kernels/neon_vectors.h"

// The vectors of attend.h on Arm: two of four lanes.

namespace trine::cpu {
namespace {  // see the top of unpack.h

struct NeonVector : NeonVectors {
  static Floats load_f16(const std::uint16_t* from) {
    const float16x8_t v = vreinterpretq_f16_u16(vld1q_u16(from));
    return {vcvt_f32_f16(vget_low_f16(v)), vcvt_high_f32_f16(v)};
  }
  static Floats load_bf16(const std::uint16_t* from) {
    const uint16x8_t v = vld1q_u16(from);
    return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(v), 16)),
            vreinterpretq_f32_u32(vshll_high_n_u16(v, 16))};
  }
  static Floats load_int8(const std::int8_t* from) {
    const int16x8_t v = vmovl_s8(vld1_s8(from));
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(v))), vcvtq_f32_s32(vmovl_high_s16(v))};
  }

  // Where either is a NaN: b.
  static Floats larger(Floats a, Floats b) {
    const auto one = [](float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); };
    return {one(a.v[0], b.v[0]), one(a.v[1], b.v[1])};
  }
  static Floats smaller(Floats a, Floats b) {
    const auto one = [](float32x4_t x, float32x4_t y) { return vbslq_f32(vcltq_f32(x, y), x, y); };
    return {one(a.v[0], b.v[0]), one(a.v[1], b.v[1])};
  }

  // v · 2ⁿ for whole n, in two factors, which have room where the result does not.
  static Floats times_power_of_2(Floats v, Floats n) {
    const auto power = [](int32x4_t e) {
      return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(e, vdupq_n_s32(127)), 23));
    };
    const auto one = [&](float32x4_t value, float32x4_t exponent) {
      const int32x4_t both = vcvtnq_s32_f32(exponent);
      const int32x4_t half = vshrq_n_s32(both, 1);
      return vmulq_f32(vmulq_f32(value, power(half)), power(vsubq_s32(both, half)));
    };
    return {one(v.v[0], n.v[0]), one(v.v[1], n.v[1])};
  }

  // Of vectors without NaN.
  static float largest(Floats v) { return vmaxvq_f32(vmaxq_f32(v.v[0], v.v[1])); }
  // Lane i: sum(v[i]).
  static Floats sums(const Floats (&v)[8]) {
    const auto two = [&](int i) {
      const float32x4_t four = vaddq_f32(v[i].v[0], v[i].v[1]);
      return vadd_f32(vget_low_f32(four), vget_high_f32(four));
    };
    const auto four = [&](int i) {
      return vpaddq_f32(vcombine_f32(two(i), two(i + 1)), vcombine_f32(two(i + 2), two(i + 3)));
    };
    return {four(0), four(4)};
  }
};

}  // namespace
}  // namespace trine::cpu
