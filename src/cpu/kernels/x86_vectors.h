#pragma once

#include "cpu/kernels/unpack.h"

// What every form of kernel does with vectors of 256 bits on x86. Included behind <immintrin.h>.

namespace trine::cpu {
namespace {  // see the top of unpack.h

template <typename T>
T load(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

struct X86Vectors {
  using Bits = __m256i;
  using Ints = __m256i;
  using Floats = __m256;

  static const __m128i* at128(const void* from) { return static_cast<const __m128i*>(from); }
  static const __m256i* at256(const void* from) { return static_cast<const __m256i*>(from); }

  static Bits splat(std::uint32_t bits) { return _mm256_set1_epi32(static_cast<int>(bits)); }
  static Bits bit_and(Bits a, Bits b) { return _mm256_and_si256(a, b); }
  static Bits bit_or(Bits a, Bits b) { return _mm256_or_si256(a, b); }
  static Bits bit_xor(Bits a, Bits b) { return _mm256_xor_si256(a, b); }
  static Bits add_bits(Bits a, Bits b) { return _mm256_add_epi32(a, b); }
  static Bits subtract_bits(Bits a, Bits b) { return _mm256_sub_epi32(a, b); }
  template <int n>
  static Bits shift_left(Bits a) {
    return _mm256_slli_epi32(a, n);
  }
  template <int n>
  static Bits shift_right(Bits a) {
    return _mm256_srli_epi32(a, n);
  }
  template <int n>
  static Bits shift_right_signed(Bits a) {
    return _mm256_srai_epi32(a, n);
  }
  // Every byte of `indices` (below 16) replaced by that entry of the table.
  static Bits look_up(const std::uint8_t (&table)[16], Bits indices) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(at128(table))), indices);
  }

  static Floats load_floats(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Floats a) { _mm256_storeu_ps(to, a); }
  static Floats splat_float(float value) { return _mm256_set1_ps(value); }
  static Floats to_float(Ints a) { return _mm256_cvtepi32_ps(a); }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats divide(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats subtract_product(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
  // ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))
  static float sum(Floats v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

// What is left behind whole vectors.
inline void to_f16_one_by_one(const float* x, std::uint16_t* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const __m128i half = _mm_cvtps_ph(_mm_set_ss(x[i]), _MM_FROUND_TO_NEAREST_INT);
    out[i] = static_cast<std::uint16_t>(_mm_cvtsi128_si32(half));
  }
}

}  // namespace
}  // namespace trine::cpu
