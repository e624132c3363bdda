#include "cpu/kernels/neon.h"

namespace trine::cpu {

const Kernels& neon_kernels() {
  static constexpr Kernels kernels{
      .isa = "neon",
      .fast = [](gguf::TensorType type) { return find_matmul<Neon>(type, false); },
      .exact = [](gguf::TensorType type) { return find_matmul<Neon>(type, true); },
      .quantize = quantize,
      .dot_f32 = dot_f32,
      .dot_f16 = dot_f16,
      .axpy_f32 = axpy_f32,
      .axpy_f16 = axpy_f16,
      .to_f16 = to_f16,
  };
  return kernels;
}

}  // namespace trine::cpu
