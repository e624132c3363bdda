#pragma once

#include "cpu/kernels/unpack.h"

// Functions of single numbers, for the vectors V of attend.h, eight lanes each.

namespace trine::cpu {
namespace {  // see the top of unpack.h

// eˣ = 2ⁿ · e^r with |r| <= ln 2 / 2; e^r = 1 + r + r²·P(r), with P interpolated at Chebyshev's points:
// within 2^-26.5 of e^r before rounding. Beyond the clamps a float has only 0 and infinity.
template <typename V>
typename V::Floats exponential(typename V::Floats x) {
  constexpr float log2_e = 0x1.715476p+0f, round = 0x1.8p23f;
  constexpr float ln2_high = 0x1.63p-1f, ln2_low = -0x1.bd0106p-13f;  // n · ln2_high is exact
  // A NaN passes the clamps.
  x = V::smaller(V::splat_float(89.0f), V::larger(V::splat_float(-104.0f), x));
  const auto n =
      V::subtract(V::multiply_add(x, V::splat_float(log2_e), V::splat_float(round)), V::splat_float(round));
  auto r = V::multiply_add(n, V::splat_float(-ln2_high), x);
  r = V::multiply_add(n, V::splat_float(-ln2_low), r);
  auto p = V::splat_float(0x1.6d117cp-10f);
  for (const float c : {0x1.120be2p-7f, 0x1.555518p-5f, 0x1.5554dcp-3f, 0.5f})
    p = V::multiply_add(p, r, V::splat_float(c));
  p = V::multiply_add(V::multiply(r, r), p, r);
  return V::times_power_of_2(V::add(V::splat_float(1.0f), p), n);
}

template <typename V>
void exp_of(const float* x, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += 8) {
    float eight[8] = {};
    const auto bytes = static_cast<std::size_t>(n - i < 8 ? n - i : 8) * sizeof(float);
    __builtin_memcpy(eight, x + i, bytes);
    V::store(eight, exponential<V>(V::load_floats(eight)));
    __builtin_memcpy(out + i, eight, bytes);
  }
}

// silu(gate) · up, silu(x) = x / (1 + e^−x)
template <typename V>
void swiglu_of(const float* gate, const float* up, float* out, std::int64_t n) {
  const auto one = V::splat_float(1.0f);
  const auto swiglu = [&](auto g, auto u) {
    const auto e = exponential<V>(V::subtract(V::splat_float(0.0f), g));
    return V::multiply(V::divide(g, V::add(one, e)), u);
  };
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) V::store(out + i, swiglu(V::load_floats(gate + i), V::load_floats(up + i)));
  if (i == n) return;
  float g[8] = {}, u[8] = {};
  const auto bytes = static_cast<std::size_t>(n - i) * sizeof(float);
  __builtin_memcpy(g, gate + i, bytes);
  __builtin_memcpy(u, up + i, bytes);
  V::store(g, swiglu(V::load_floats(g), V::load_floats(u)));
  __builtin_memcpy(out + i, g, bytes);
}

}  // namespace
}  // namespace trine::cpu
