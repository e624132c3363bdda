#pragma once

#include "cpu/kernels/attend.h"
#include "cpu/kernels/x86_vectors.h"

// The vectors of attend.h on x86: eight lanes also where there are sixteen, so that sums have one order
// (which avx512_attend.h keeps with two of them side by side). Included behind <immintrin.h>.

namespace trine::cpu {
namespace {  // see the top of unpack.h

struct X86Vector : X86Vectors {
  static Floats load_f16(const std::uint16_t* from) { return _mm256_cvtph_ps(_mm_loadu_si128(at128(from))); }
  static Floats load_bf16(const std::uint16_t* from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(at128(from))), 16));
  }
  static Floats load_int8(const std::int8_t* from) {
    const __m128i bytes = _mm_loadl_epi64(at128(from));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }

  // Where either is a NaN: b.
  static Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats smaller(Floats a, Floats b) { return _mm256_min_ps(a, b); }

  // v · 2ⁿ for whole n, in two factors, which have room where the result does not.
  static Floats times_power_of_2(Floats v, Floats n) {
    const __m256i both = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(both, 1);
    const auto power = [](__m256i e) {
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127)), 23));
    };
    return _mm256_mul_ps(_mm256_mul_ps(v, power(half)), power(_mm256_sub_epi32(both, half)));
  }

  // Of vectors without NaN.
  static float largest(Floats v) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
  }
  // Lane i: sum(v[i]).
  static Floats sums(const Floats (&v)[8]) {
    Floats four[4];  // of v[i] in the lower half, of v[i + 4] in the upper
    each<4>([&](auto i) {
      four[i] = _mm256_add_ps(_mm256_permute2f128_ps(v[i], v[i + 4], 0x20),
                              _mm256_permute2f128_ps(v[i], v[i + 4], 0x31));
    });
    const auto two = [](Floats a, Floats b) {
      return _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    };
    const Floats first = two(four[0], four[1]), second = two(four[2], four[3]);
    return _mm256_add_ps(_mm256_shuffle_ps(first, second, 0b01000100),
                         _mm256_shuffle_ps(first, second, 0b11101110));
  }
};

}  // namespace
}  // namespace trine::cpu
