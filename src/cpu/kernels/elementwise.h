#pragma once

#include "cpu/kernels/unpack.h"

// Functions of single numbers, for the vectors V of attend.h: of eight lanes each, and of sixteen where
// V::Wide has them.

namespace trine::cpu {
namespace {  // see the top of unpack.h

// Sixteen lanes, or two vectors of eight side by side, where V has them.
template <typename V>
concept HasWide = requires {
  typename V::Wide;
};

template <typename V>
struct WidestOf {
  using Type = V;
};
template <HasWide V>
struct WidestOf<V> {
  using Type = typename V::Wide;
};

template <typename V>
constexpr std::int64_t lanes_of = sizeof(typename V::Floats) / sizeof(float);

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
  using W = typename WidestOf<V>::Type;
  constexpr std::int64_t lanes = lanes_of<W>;
  for (std::int64_t i = 0; i < n; i += lanes) {
    float some[lanes] = {};
    const auto bytes = static_cast<std::size_t>(n - i < lanes ? n - i : lanes) * sizeof(float);
    __builtin_memcpy(some, x + i, bytes);
    W::store(some, exponential<W>(W::load_floats(some)));
    __builtin_memcpy(out + i, some, bytes);
  }
}

// silu(gate) · up, silu(x) = x / (1 + e^−x)
template <typename V>
void swiglu_of(const float* gate, const float* up, float* out, std::int64_t n) {
  using W = typename WidestOf<V>::Type;
  constexpr std::int64_t lanes = lanes_of<W>;
  const auto one = W::splat_float(1.0f);
  const auto swiglu = [&](auto g, auto u) {
    const auto e = exponential<W>(W::subtract(W::splat_float(0.0f), g));
    return W::multiply(W::divide(g, W::add(one, e)), u);
  };
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    W::store(out + i, swiglu(W::load_floats(gate + i), W::load_floats(up + i)));
  if (i == n) return;
  float g[lanes] = {}, u[lanes] = {};
  const auto bytes = static_cast<std::size_t>(n - i) * sizeof(float);
  __builtin_memcpy(g, gate + i, bytes);
  __builtin_memcpy(u, up + i, bytes);
  W::store(g, swiglu(W::load_floats(g), W::load_floats(u)));
  __builtin_memcpy(out + i, g, bytes);
}

}  // namespace
}  // namespace trine::cpu
