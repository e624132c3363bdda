#include "cpu/kernels/neon.h"

namespace trine::cpu {
namespace {

// With products of 2 × 8 by 8 × 2 bytes (FEAT_I8MM), which need half as many instructions as dot products
// where tokens come in pairs. One row by itself has nothing to pair with, so the row form is the same.
struct NeonI8mm : Neon {
  // From lanes of one row's four bytes to pairs of rows with eight bytes each: v[0] of steps 2s and 2s + 1
  // becomes rows 0 1 and 2 3, v[1] rows 4 5 and 6 7.
  static void pair_rows(Bits (&steps)[8]) {
    each<4>([&](auto s) {
      Bits& even = steps[2 * s];
      Bits& odd = steps[2 * s + 1];
      const Bits from[2] = {even, odd};
      each<2>([&](auto i) {
        even.v[i] = vzip1q_u32(from[0].v[i], from[1].v[i]);
        odd.v[i] = vzip2q_u32(from[0].v[i], from[1].v[i]);
      });
    });
  }

  // As Neon's, of steps that pair_rows() has arranged.
  template <typename U, int steps, int T>
  static void add_dots(const Bits* w, const std::int8_t* const* q, std::ptrdiff_t offset, Bits* out) {
    static_assert(T == 1 || T % 2 == 0);
    if constexpr (T == 1)
      one_token<steps>(w, q[0] + offset, out[0]);
    else
      each<T / 2>([&](auto pair) {
        two_tokens<steps>(w, q[2 * pair] + offset, q[2 * pair + 1] + offset, out + 2 * pair);
      });
  }

 private:
  // Rows 2p and 2p + 1, eight columns of step 2s and the next.
  static int8x16_t row_pair(const Bits* w, int s, int p) {
    return vreinterpretq_s8_u32(w[2 * s + p % 2].v[p / 2]);
  }

  template <int steps>
  static void one_token(const Bits* w, const std::int8_t* q, Bits& out) {
    int32x4_t sum[4];  // of rows 2p and 2p + 1, two numbers each
    each<4>([&](auto p) { sum[p] = vdupq_n_s32(0); });
    each<steps / 2>([&](auto s) {
      const int8x8_t eight = vld1_s8(q + 8 * s);
      const int8x16_t x = vcombine_s8(eight, eight);
      each<4>([&](auto p) { sum[p] = vdotq_s32(sum[p], row_pair(w, s, p), x); });
    });
    const Ints before = to_ints(out);
    out = from_ints({vaddq_s32(before.v[0], vpaddq_s32(sum[0], sum[1])),
                     vaddq_s32(before.v[1], vpaddq_s32(sum[2], sum[3]))});
  }

  template <int steps>
  static void two_tokens(const Bits* w, const std::int8_t* q0, const std::int8_t* q1, Bits* out) {
    int32x4_t sum[4];  // row 2p with both tokens, then row 2p + 1
    each<4>([&](auto p) { sum[p] = vdupq_n_s32(0); });
    each<steps / 4>([&](auto chunk) {  // of 16 columns
      const int64x2_t x0 = vreinterpretq_s64_s8(vld1q_s8(q0 + 16 * chunk));
      const int64x2_t x1 = vreinterpretq_s64_s8(vld1q_s8(q1 + 16 * chunk));
      const int8x16_t x[2] = {vreinterpretq_s8_s64(vzip1q_s64(x0, x1)),
                              vreinterpretq_s8_s64(vzip2q_s64(x0, x1))};
      each<2>([&](auto s) {
        each<4>([&](auto p) { sum[p] = vmmlaq_s32(sum[p], row_pair(w, 2 * chunk + s, p), x[s]); });
      });
    });
    const Ints before[2] = {to_ints(out[0]), to_ints(out[1])};
    each<2>([&](auto i) {
      out[0].v[i] = vreinterpretq_u32_s32(vaddq_s32(before[0].v[i], vuzp1q_s32(sum[2 * i], sum[2 * i + 1])));
      out[1].v[i] = vreinterpretq_u32_s32(vaddq_s32(before[1].v[i], vuzp2q_s32(sum[2 * i], sum[2 * i + 1])));
    });
  }
};

}  // namespace

const Kernels& neon_i8mm_kernels() {
  static constexpr Kernels kernels = kernels_of<NeonI8mm, NeonVector>("neon-i8mm", quantize, dot_f32, to_f16);
  return kernels;
}

}  // namespace trine::cpu
