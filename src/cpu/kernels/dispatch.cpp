#include "cpu/kernels/kernels.h"

#if defined(TRINE_X86_KERNELS)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(TRINE_ARM_KERNELS) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(TRINE_ARM_KERNELS)
#include <sys/auxv.h>
#endif

#include <iterator>

namespace trine::cpu {
namespace {

struct Isa {
  const char* name;
  bool (*is_here)();
  const Kernels& (*kernels)();
};

#if defined(TRINE_X86_KERNELS)

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

// Bits of CPUID's leaf 7, by Intel's manual, volume 2A; not every compiler we build with knows their names.
bool has_avxvnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return has_avx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}
// Linux keeps the tiles of a thread only for a process that has asked for it, since they are large
// (Documentation/arch/x86/xstate.rst).
bool has_amx_int8() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool is_here = has_avx512vnni() && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
                       (edx >> 24 & 1) != 0 && (edx >> 25 & 1) != 0;
#if defined(__linux__)
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool is_allowed = is_here && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return is_allowed;
#else
  return false && is_here;
#endif
}

#elif defined(TRINE_ARM_KERNELS) && defined(__APPLE__)

bool has_feature(const char* name) {
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
bool has_neon() {
  return has_feature("hw.optional.arm.FEAT_DotProd");
}
bool has_neon_i8mm() {
  return has_neon() && has_feature("hw.optional.arm.FEAT_I8MM");
}

#elif defined(TRINE_ARM_KERNELS)

// HWCAP_ASIMDDP and HWCAP2_I8MM of Linux's asm/hwcap.h, which old C libraries do not name. Every ARMv8
// processor that runs Linux has fused multiply-adds and conversions of halves.
bool has_neon() {
  return (getauxval(AT_HWCAP) >> 20 & 1) != 0;
}
bool has_neon_i8mm() {
  return has_neon() && (getauxval(AT_HWCAP2) >> 13 & 1) != 0;
}

#endif

// Slowest first.
constexpr Isa all_isas[] = {
    {"portable", [] { return true; }, portable_kernels},
#if defined(TRINE_X86_KERNELS)
    {"avx2", has_avx2, avx2_kernels},
    {"avxvnni", has_avxvnni, avxvnni_kernels},
    // Behind AVX-512 wherever both were measured: products of 32 columns, each with a scale of its own, leave
    // the matrix unit waiting for the rest.
    {"amx-int8", has_amx_int8, amx_int8_kernels},
    {"avx512vnni", has_avx512vnni, avx512vnni_kernels},
#elif defined(TRINE_ARM_KERNELS)
    {"neon", has_neon, neon_kernels},
    {"neon-i8mm", has_neon_i8mm, neon_i8mm_kernels},
#endif
};

}  // namespace

bool reads_q8(gguf::TensorType type) {
  return gguf::info(type).block_elements > 1;
}

std::vector<const char*> isa_names() {
  std::vector<const char*> names;
  for (const Isa& isa : all_isas) names.push_back(isa.name);
  return names;
}

const Kernels* find_kernels(std::string_view name) {
  // From the best on: what is asked after need not be (a matrix unit is asked of the system).
  for (auto isa = std::rbegin(all_isas); isa != std::rend(all_isas); ++isa)
    if ((name.empty() || name == isa->name) && isa->is_here()) return &isa->kernels();
  return nullptr;
}

}  // namespace trine::cpu
