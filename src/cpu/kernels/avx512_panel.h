#pragma once

#include "cpu/kernels/avx512_row.h"
#include "cpu/kernels/avx512_vectors.h"
#include "cpu/kernels/matmul.h"

// The panel form of vectors of 512 bits with dot products of bytes, and what else a table of kernels wants of
// them. Included behind <immintrin.h>.

namespace trine::cpu {
namespace {  // see the top of unpack.h

struct DotProduct {
  static constexpr bool exists = true;
  static __m256i dpbusd(__m256i sum, __m256i a, __m256i b) { return _mm256_dpbusd_epi32(sum, a, b); }
};

struct Avx512Panel : Avx512Floats {
  static constexpr int lanes = 16;
  static constexpr int tile = 6;
  static constexpr int groups_together = 2;
  static constexpr bool has_rows = true;
  static constexpr int fewest_for_tiles = 4;
  using Row = Avx512Row<DotProduct>;
  // dpbusd multiplies unsigned by signed bytes, and AVX-512 has no way to move a sign from one to the other.
  static constexpr bool multiplies_signed = false;

  using Bits = __m512i;

  // Loads of the same field of every row; lane r of out[k] has bytes 4k … 4k + 3 of row r.
  static void load_16_bytes(RowGroup rows, Bits* out) {
    const auto row = [&](int r) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.first + r * rows.stride));
    };
    const auto four_rows = [&](int r) {
      Bits v = _mm512_castsi128_si512(row(r));
      v = _mm512_inserti32x4(v, row(r + 4), 1);
      v = _mm512_inserti32x4(v, row(r + 8), 2);
      return _mm512_inserti32x4(v, row(r + 12), 3);
    };
    const Bits row0 = four_rows(0), row1 = four_rows(1), row2 = four_rows(2), row3 = four_rows(3);
    const Bits low01 = _mm512_unpacklo_epi32(row0, row1), high01 = _mm512_unpackhi_epi32(row0, row1);
    const Bits low23 = _mm512_unpacklo_epi32(row2, row3), high23 = _mm512_unpackhi_epi32(row2, row3);
    out[0] = _mm512_unpacklo_epi64(low01, low23);
    out[1] = _mm512_unpackhi_epi64(low01, low23);
    out[2] = _mm512_unpacklo_epi64(high01, high23);
    out[3] = _mm512_unpackhi_epi64(high01, high23);
  }
  template <typename T>
  static Bits load_each(RowGroup rows) {
    const auto row = [&](int r) { return static_cast<int>(load<T>(rows.first + r * rows.stride)); };
    return _mm512_setr_epi32(row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7), row(8), row(9),
                             row(10), row(11), row(12), row(13), row(14), row(15));
  }
  static Bits load_4_bytes(RowGroup rows) { return load_each<std::uint32_t>(rows); }
  static Bits load_2_bytes(RowGroup rows) { return load_each<std::uint16_t>(rows); }
  static Bits load_1_byte(RowGroup rows) { return load_each<std::uint8_t>(rows); }

  static Bits splat(std::uint32_t bits) { return _mm512_set1_epi32(static_cast<int>(bits)); }
  static Bits bit_and(Bits a, Bits b) { return _mm512_and_si512(a, b); }
  static Bits bit_or(Bits a, Bits b) { return _mm512_or_si512(a, b); }
  static Bits bit_xor(Bits a, Bits b) { return _mm512_xor_si512(a, b); }
  static Bits add_bits(Bits a, Bits b) { return _mm512_add_epi32(a, b); }
  static Bits subtract_bits(Bits a, Bits b) { return _mm512_sub_epi32(a, b); }
  template <int n>
  static Bits shift_left(Bits a) {
    return _mm512_slli_epi32(a, n);
  }
  template <int n>
  static Bits shift_right(Bits a) {
    return _mm512_srli_epi32(a, n);
  }
  template <int n>
  static Bits shift_right_signed(Bits a) {
    return _mm512_srai_epi32(a, n);
  }
  // Every byte of `indices` (below 16) replaced by that entry of the table.
  static Bits look_up(const std::uint8_t (&table)[16], Bits indices) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), indices);
  }

  static Floats as_float(Bits a) { return _mm512_castsi512_ps(a); }
  static Floats to_float(Bits a) { return _mm512_cvtepi32_ps(a); }
  // Of the lower 16 bits of each lane.
  static Floats from_half(Bits a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
  static float first(Floats a) { return _mm512_cvtss_f32(a); }

  // −offset · count, whose factors fit 16 bits: at most 128, and 127 · 32.
  template <int offset>
  static Bits begin_dot(const std::int32_t& count) {
    return _mm512_dpwssd_epi32(_mm512_setzero_si512(), _mm512_set1_epi32(count), splat(0x10000u - offset));
  }

  // out[t], lane r: += Σ of row r's bytes in w[0 … steps) times token t's, as 32-bit integers. Eight sums at
  // least, since one dpbusd waits for the last.
  template <typename U, int steps, int T>
  static void add_dots(const Bits* w, const std::int8_t* const* q, std::ptrdiff_t offset, Bits* out) {
    constexpr int chains = T >= 8 ? 1 : 2;
    Bits sum[T][chains];
    each<T>([&](auto t) {
      sum[t][0] = out[t];
      if constexpr (chains == 2) sum[t][1] = _mm512_setzero_si512();
    });
    each<steps>([&](auto step) {
      const Bits weights = w[step];
      each<T>([&](auto t) {
        const Bits x = _mm512_set1_epi32(load<std::int32_t>(q[t] + offset + 4 * step));
        Bits& to = sum[t][step % chains];
        to = _mm512_dpbusd_epi32(to, weights, x);
      });
    });
    each<T>(
        [&](auto t) { out[t] = chains == 2 ? _mm512_add_epi32(sum[t][0], sum[t][chains - 1]) : sum[t][0]; });
  }
  template <typename U, int steps, int R, int T>
  static void add_dots(const Bits* const (&w)[R], const std::int8_t* const (&q)[T], std::ptrdiff_t offset,
                       Bits (&out)[R][T]) {
    each<steps>([&](auto step) {
      each<T>([&](auto t) {
        const Bits x = _mm512_set1_epi32(load<std::int32_t>(q[t] + offset + 4 * step));
        each<R>([&](auto r) { out[r][t] = _mm512_dpbusd_epi32(out[r][t], w[r][step], x); });
      });
    });
  }
};

inline float dot_f32(const float* a, const float* b, std::int64_t n) {
  __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  std::int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (int k = 0; k < 2; ++k)
      sum[k] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16 * k), _mm512_loadu_ps(b + i + 16 * k), sum[k]);
  float rest = 0.0f;
  for (; i < n; ++i) rest = __builtin_fmaf(a[i], b[i], rest);
  const __m512 all = _mm512_add_ps(sum[0], sum[1]);
  return X86Vectors::sum(_mm256_add_ps(Avx512Floats::low(all), Avx512Floats::high(all))) + rest;
}

inline void to_f16(const float* x, std::uint16_t* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                        _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  to_f16_one_by_one(x + i, out + i, n - i);
}

}  // namespace
}  // namespace trine::cpu
