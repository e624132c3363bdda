#include "cpu/kernels/neon.h"

namespace trine::cpu {

const Kernels& neon_kernels() {
  static constexpr Kernels kernels{
      .isa = "neon",
      .fast = [](gguf::TensorType type) { return find_matmul<Neon>(type, false); },
      .exact = [](gguf::TensorType type) { return find_matmul<Neon>(type, true); },
      .quantize = quantize,
      .attend = find_attend<NeonVector>,
      .dot_f32 = dot_f32,
      .exp = exp_of<NeonVector>,
      .to_f16 = to_f16,
  };
  return kernels;
}

}  // namespace trine::cpu
