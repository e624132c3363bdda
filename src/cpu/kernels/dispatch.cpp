#include "cpu/kernels/kernels.h"

namespace trine::cpu {

bool reads_q8(gguf::TensorType type) {
  return gguf::info(type).block_elements > 1;
}

const Kernels* find_kernels(std::string_view isa) {
#if defined(TRINE_X86_KERNELS)
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512vnni = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vnni");
  if (avx512vnni && (isa.empty() || isa == "avx512vnni")) return &avx512vnni_kernels();
  if (avx2 && (isa.empty() || isa == "avx2")) return &avx2_kernels();
#endif
  if (isa.empty() || isa == "portable") return &portable_kernels();
  return nullptr;
}

}  // namespace trine::cpu
