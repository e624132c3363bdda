#pragma once

#include "cpu/kernels/avx512_vectors.h"
#include "cpu/kernels/x86_attend.h"

// The vectors of attend.h on processors that have 512 bits. Included behind <immintrin.h>.

namespace trine::cpu {
namespace {  // see the top of unpack.h

struct Avx512Vector : X86Vector {
  // Sixteen lanes, or two vectors of eight side by side.
  struct Wide : Avx512Floats {
    template <model::KvType type>
    using Is = std::integral_constant<model::KvType, type>;

    static Floats splat_two(float low, float high) {
      return _mm512_insertf32x8(_mm512_set1_ps(low), _mm256_set1_ps(high), 1);
    }
    static Floats load_twice(const float* from) { return _mm512_broadcast_f32x8(_mm256_loadu_ps(from)); }

    // Where either is a NaN: b.
    static Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
    static Floats smaller(Floats a, Floats b) { return _mm512_min_ps(a, b); }
    // v · 2ⁿ for whole n, rounded once.
    static Floats times_power_of_2(Floats v, Floats n) { return _mm512_scalef_ps(v, n); }
    // Of vectors without NaN.
    static float largest(Floats v) { return X86Vector::largest(_mm256_max_ps(low(v), high(v))); }

    // a has the eight running sums of one position and of the next, b of the two behind them: the sums 0 + 4,
    // 1 + 5, 2 + 6 and 3 + 7 of all four positions.
    static Floats fold(Floats a, Floats b) {
      return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0b10001000), _mm512_shuffle_f32x4(a, b, 0b11011101));
    }
    // What is left to add of such sums, of a query's positions 0 … 3 (a0) and 4 … 7 (a4) and of another's:
    // eight scores to `a` and eight to `b`.
    static void store_sums(Floats a0, Floats a4, Floats b0, Floats b4, float* a, float* b) {
      const auto two = [](Floats x, Floats y) {
        return _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
      };
      const Floats first = two(a0, a4), second = two(b0, b4);
      const Floats sums = _mm512_add_ps(_mm512_shuffle_ps(first, second, 0b01000100),
                                        _mm512_shuffle_ps(first, second, 0b11101110));
      const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      const Floats in_order = _mm512_permutexvar_ps(order, sums);
      X86Vector::store(b, high(in_order));
      X86Vector::store(a, low(in_order));
    }

    static Floats load(const float* from, Is<model::KvType::f32>) { return _mm512_loadu_ps(from); }
    static Floats load(const std::uint16_t* from, Is<model::KvType::f16>) {
      return _mm512_cvtph_ps(_mm256_loadu_si256(at256(from)));
    }
    static Floats load(const std::uint16_t* from, Is<model::KvType::bf16>) {
      return bf16(_mm256_loadu_si256(at256(from)));
    }
    static Floats load(const std::int8_t* from, Is<model::KvType::q8_0>) {
      return int8(_mm_loadu_si128(at128(from)));
    }

    static Floats load_two(const float* low, const float* high, Is<model::KvType::f32>) {
      return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(low)), _mm256_loadu_ps(high), 1);
    }
    static Floats load_two(const std::uint16_t* low, const std::uint16_t* high, Is<model::KvType::f16>) {
      return _mm512_cvtph_ps(two(low, high));
    }
    static Floats load_two(const std::uint16_t* low, const std::uint16_t* high, Is<model::KvType::bf16>) {
      return bf16(two(low, high));
    }
    static Floats load_two(const std::int8_t* low, const std::int8_t* high, Is<model::KvType::q8_0>) {
      return int8(_mm_unpacklo_epi64(_mm_loadl_epi64(at128(low)), _mm_loadl_epi64(at128(high))));
    }

   private:
    static __m256i two(const std::uint16_t* low, const std::uint16_t* high) {
      return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(at128(low))),
                                     _mm_loadu_si128(at128(high)), 1);
    }
    static Floats bf16(__m256i bits) {
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
    }
    static Floats int8(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }
  };
};

}  // namespace
}  // namespace trine::cpu
