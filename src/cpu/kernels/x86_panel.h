#pragma once

#include "cpu/kernels/matmul.h"
#include "cpu/kernels/x86_row.h"

// The panel form of vectors of 256 bits, and what else a table of kernels wants of them. Included behind
// <immintrin.h>.

namespace trine::cpu {
namespace {  // see the top of unpack.h

// M is how bytes are multiplied, as in x86_row.h.
template <typename M>
struct X86Panel : X86Vectors {
  static constexpr int lanes = 8;
  static constexpr int tile = 4;
  static constexpr bool has_rows = true;
  static constexpr int fewest_for_tiles = 4;
  using Row = X86Row<M>;
  static constexpr bool multiplies_signed = !M::exists;

  // Loads of the same field of every row; lane r of out[k] has bytes 4k … 4k + 3 of row r.
  static void load_16_bytes(RowGroup rows, Bits* out) {
    const auto two_rows = [&](int r) {
      const auto* low = reinterpret_cast<const __m128i*>(rows.first + r * rows.stride);
      const auto* high = reinterpret_cast<const __m128i*>(rows.first + (r + 4) * rows.stride);
      return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high), 1);
    };
    const Bits row0 = two_rows(0), row1 = two_rows(1), row2 = two_rows(2), row3 = two_rows(3);
    const Bits low01 = _mm256_unpacklo_epi32(row0, row1), high01 = _mm256_unpackhi_epi32(row0, row1);
    const Bits low23 = _mm256_unpacklo_epi32(row2, row3), high23 = _mm256_unpackhi_epi32(row2, row3);
    out[0] = _mm256_unpacklo_epi64(low01, low23);
    out[1] = _mm256_unpackhi_epi64(low01, low23);
    out[2] = _mm256_unpacklo_epi64(high01, high23);
    out[3] = _mm256_unpackhi_epi64(high01, high23);
  }
  template <typename T>
  static Bits load_each(RowGroup rows) {
    const auto row = [&](int r) { return static_cast<int>(load<T>(rows.first + r * rows.stride)); };
    return _mm256_setr_epi32(row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7));
  }
  static Bits load_4_bytes(RowGroup rows) { return load_each<std::uint32_t>(rows); }
  static Bits load_2_bytes(RowGroup rows) { return load_each<std::uint16_t>(rows); }
  static Bits load_1_byte(RowGroup rows) { return load_each<std::uint8_t>(rows); }

  static Floats as_float(Bits a) { return _mm256_castsi256_ps(a); }
  // Of the lower 16 bits of each lane.
  static Floats from_half(Bits a) {
    const Bits packed = _mm256_packus_epi32(bit_and(a, splat(0xFFFF)), _mm256_setzero_si256());
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0b1000)));
  }
  static float first(Floats a) { return _mm256_cvtss_f32(a); }

  // −offset · count, whose factors fit 16 bits: at most 128, and 127 · 32.
  template <int offset>
  static Bits begin_dot(const std::int32_t& count) {
    return _mm256_madd_epi16(splat(static_cast<std::uint32_t>(count)), splat(0x10000u - offset));
  }

  // out[t], lane r: += Σ of row r's bytes in w[0 … steps) times token t's, as 32-bit integers.
  template <typename U, int steps, int T>
  static void add_dots(const Bits* w, const std::int8_t* const* q, std::ptrdiff_t offset, Bits* out) {
    if constexpr (M::exists)
      dot_by_dpbusd<steps, T>(w, q, offset, out);
    else if constexpr (U::is_signed)
      dot_signed<steps, T>(w, q, offset, out);
    else
      dot_unsigned<U::max_q, steps, T>(w, q, offset, out);
  }

 private:
  static Bits activations(const std::int8_t* q) { return _mm256_set1_epi32(load<std::int32_t>(q)); }

  // Two sums for each token, since one dpbusd waits for the last.
  template <int steps, int T>
  static void dot_by_dpbusd(const Bits* w, const std::int8_t* const* q, std::ptrdiff_t offset, Bits* out) {
    Bits sum[T][2];
    each<T>([&](auto t) {
      sum[t][0] = out[t];
      sum[t][1] = _mm256_setzero_si256();
    });
    each<steps>([&](auto step) {
      const Bits weights = w[step];
      each<T>([&](auto t) {
        Bits& to = sum[t][step % 2];
        to = M::dpbusd(to, weights, activations(q[t] + offset + 4 * step));
      });
    });
    each<T>([&](auto t) { out[t] = _mm256_add_epi32(sum[t][0], sum[t][1]); });
  }

  // GCC would turn a chain of additions into a tree, and keep so many products alive that they spill.
  static Bits add_in_order(Bits a, Bits b) {
    Bits sum = _mm256_add_epi16(a, b);
    asm("" : "+x"(sum));
    return sum;
  }

  // maddubs multiplies unsigned by signed bytes and adds pairs into 16 bits. Several such sums may be added
  // before they are widened, as many as cannot pass 32767.
  template <int max_q, int steps, int T>
  static void dot_unsigned(const Bits* w, const std::int8_t* const* q, std::ptrdiff_t offset, Bits* out) {
    constexpr int room = 32767 / (2 * 127 * max_q);
    static_assert(room >= 2);
    constexpr int run = room >= steps ? steps : room >= 4 ? 4 : 2;
    const Bits ones = _mm256_set1_epi16(1);
    each<steps / run>([&](auto i) {
      Bits pairs[T];
      each<run>([&](auto k) {
        constexpr int step = run * i + k;
        const Bits weights = w[step];
        each<T>([&](auto t) {
          const Bits product = _mm256_maddubs_epi16(weights, activations(q[t] + offset + 4 * step));
          pairs[t] = k == 0 ? product : add_in_order(pairs[t], product);
        });
      });
      each<T>([&](auto t) {
        const Bits sum = _mm256_madd_epi16(pairs[t], ones);
        out[t] = _mm256_add_epi32(out[t], sum);
      });
    });
  }

  // |w| · (x with w's sign). |w| may be 128 and |x| 127: a pair of products fits 16 bits, two pairs do not.
  template <int steps, int T>
  static void dot_signed(const Bits* w, const std::int8_t* const* q, std::ptrdiff_t offset, Bits* out) {
    const Bits ones = _mm256_set1_epi16(1);
    each<steps>([&](auto step) {
      const Bits weights = w[step];
      const Bits magnitudes = _mm256_abs_epi8(weights);
      each<T>([&](auto t) {
        const Bits x = _mm256_sign_epi8(activations(q[t] + offset + 4 * step), weights);
        const Bits sum = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitudes, x), ones);
        out[t] = _mm256_add_epi32(out[t], sum);
      });
    });
  }
};

inline float dot_f32(const float* a, const float* b, std::int64_t n) {
  __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  std::int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (int k = 0; k < 4; ++k)
      sum[k] = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8 * k), _mm256_loadu_ps(b + i + 8 * k), sum[k]);
  float rest = 0.0f;
  for (; i < n; ++i) rest = __builtin_fmaf(a[i], b[i], rest);
  return X86Vectors::sum(_mm256_add_ps(_mm256_add_ps(sum[0], sum[2]), _mm256_add_ps(sum[1], sum[3]))) + rest;
}

inline void to_f16(const float* x, std::uint16_t* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  to_f16_one_by_one(x + i, out + i, n - i);
}

}  // namespace
}  // namespace trine::cpu
