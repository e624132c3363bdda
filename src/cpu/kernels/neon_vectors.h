#pragma once

#include "cpu/kernels/unpack.h"

#include <arm_neon.h>

// What every form of kernel does with eight lanes on Arm, in pairs of vectors of 128 bits.

namespace trine::cpu {
namespace {  // see the top of unpack.h

struct NeonVectors {
  struct Ints {
    int32x4_t v[2];
  };
  struct Floats {
    float32x4_t v[2];
  };

  static Floats load_floats(const float* from) { return {vld1q_f32(from), vld1q_f32(from + 4)}; }
  static void store(float* to, Floats a) {
    vst1q_f32(to, a.v[0]);
    vst1q_f32(to + 4, a.v[1]);
  }
  static Floats splat_float(float value) { return {vdupq_n_f32(value), vdupq_n_f32(value)}; }
  static Floats to_float(Ints a) { return {vcvtq_f32_s32(a.v[0]), vcvtq_f32_s32(a.v[1])}; }
  static Floats add(Floats a, Floats b) { return {vaddq_f32(a.v[0], b.v[0]), vaddq_f32(a.v[1], b.v[1])}; }
  static Floats subtract(Floats a, Floats b) {
    return {vsubq_f32(a.v[0], b.v[0]), vsubq_f32(a.v[1], b.v[1])};
  }
  static Floats multiply(Floats a, Floats b) {
    return {vmulq_f32(a.v[0], b.v[0]), vmulq_f32(a.v[1], b.v[1])};
  }
  static Floats divide(Floats a, Floats b) { return {vdivq_f32(a.v[0], b.v[0]), vdivq_f32(a.v[1], b.v[1])}; }
  static Floats multiply_add(Floats a, Floats b, Floats c) {
    return {vfmaq_f32(c.v[0], a.v[0], b.v[0]), vfmaq_f32(c.v[1], a.v[1], b.v[1])};
  }
  static Floats subtract_product(Floats a, Floats b, Floats c) {
    return {vfmsq_f32(c.v[0], a.v[0], b.v[0]), vfmsq_f32(c.v[1], a.v[1], b.v[1])};
  }
  // ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))
  static float sum(Floats a) {
    const float32x4_t four = vaddq_f32(a.v[0], a.v[1]);
    return vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
  }
};

}  // namespace
}  // namespace trine::cpu
