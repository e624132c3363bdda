#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace trine::cpu {

inline constexpr double unit_roundoff = 0x1p-24;  // of a float
inline constexpr const char* isas[] = {"portable", "avx2", "avx512vnni"};

inline std::vector<float> random_values(std::int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace trine::cpu
