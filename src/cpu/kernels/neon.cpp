#include "cpu/kernels/neon.h"

namespace trine::cpu {

const Kernels& neon_kernels() {
  static constexpr Kernels kernels = kernels_of<Neon, NeonVector>("neon", quantize, dot_f32, to_f16);
  return kernels;
}

}  // namespace trine::cpu
