#pragma once

#include "cpu/kernels/kernels.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace trine::cpu {

inline constexpr double unit_roundoff = 0x1p-24;  // of a float

// As the name of a test, which has no hyphens.
inline std::string test_name_of(std::string isa) {
  std::replace(isa.begin(), isa.end(), '-', '_');
  return isa;
}

// What this processor has with fused multiply-adds.
inline std::vector<const Kernels*> fused_kernels() {
  std::vector<const Kernels*> found;
  for (const char* isa : isa_names()) {
    const Kernels* kernels = find_kernels(isa);
    if (kernels != nullptr && kernels->isa != "portable") found.push_back(kernels);
  }
  return found;
}

inline std::vector<float> random_values(std::int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace trine::cpu
