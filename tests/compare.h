#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace trine::test {

// How far `actual` is from `expected`, in fp64. A NaN on either side makes every figure NaN, which no
// tolerance accepts as long as it is checked as `figure <= tolerance`.
struct Difference {
  double cosine = 0;       // 1 when both are all zeros
  double relative_l2 = 0;  // ‖a − e‖ / ‖e‖
  double largest = 0;      // max |a − e|
  double scale = 0;        // max |e|
};

inline Difference compare(std::span<const float> actual, std::span<const float> expected) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (actual.size() != expected.size() || actual.empty()) return {nan, nan, nan, nan};
  double dot = 0, aa = 0, ee = 0, dd = 0;
  Difference result;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double a = actual[i], e = expected[i];
    if (!std::isfinite(a) || !std::isfinite(e)) return {nan, nan, nan, nan};
    dot += a * e;
    aa += a * a;
    ee += e * e;
    dd += (a - e) * (a - e);
    result.largest = std::max(result.largest, std::abs(a - e));
    result.scale = std::max(result.scale, std::abs(e));
  }
  const bool both_zero = aa == 0 && ee == 0;
  result.cosine = both_zero ? 1 : dot / std::sqrt(aa * ee);
  result.relative_l2 = both_zero ? 0 : std::sqrt(dd / ee);
  return result;
}

inline int argmax(std::span<const float> values) {
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace trine::test
