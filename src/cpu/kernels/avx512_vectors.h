#pragma once

// What every form of kernel does with floats in vectors of 512 bits. Included behind <immintrin.h>.

namespace trine::cpu {
namespace {  // see the top of unpack.h

struct Avx512Floats {
  using Floats = __m512;

  static Floats load_floats(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Floats a) { _mm512_storeu_ps(to, a); }
  static Floats splat_float(float value) { return _mm512_set1_ps(value); }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats divide(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats subtract_product(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
  static __m256 low(Floats a) { return _mm512_castps512_ps256(a); }
  static __m256 high(Floats a) { return _mm512_extractf32x8_ps(a, 1); }
};

}  // namespace
}  // namespace trine::cpu
