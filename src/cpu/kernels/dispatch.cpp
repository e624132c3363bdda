#include "cpu/kernels/kernels.h"

#if defined(TRINE_X86_KERNELS)
#include <cpuid.h>
#endif

namespace trine::cpu {

bool reads_q8(gguf::TensorType type) {
  return gguf::info(type).block_elements > 1;
}

#if defined(TRINE_X86_KERNELS)
namespace {

// Clang 14 does not know this one by name.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}
bool has_avx512vnni() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

}  // namespace
#endif

const Kernels* find_kernels(std::string_view isa) {
#if defined(TRINE_X86_KERNELS)
  if ((isa.empty() || isa == "avx512vnni") && has_avx512vnni()) return &avx512vnni_kernels();
  if ((isa.empty() || isa == "avx2") && has_avx2()) return &avx2_kernels();
#endif
  if (isa.empty() || isa == "portable") return &portable_kernels();
  return nullptr;
}

}  // namespace trine::cpu
