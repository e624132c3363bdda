#include "cpu/kernels/portable_dot.h"

namespace trine::cpu {

float portable_dot_f32(const float* a, const float* b, std::int64_t n) {
  float sum[32] = {};
  std::int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (int k = 0; k < 32; ++k) sum[k] += a[i + k] * b[i + k];
  float rest = 0.0f;
  for (; i < n; ++i) rest += a[i] * b[i];
  for (int half = 16; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) sum[k] += sum[k + half];
  return sum[0] + rest;
}

}  // namespace trine::cpu
