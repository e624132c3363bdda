#include "cpu/kernels/kernels.h"
#include "cpu/kernels/table.h"

#include <immintrin.h>

#include "cpu/kernels/x86_attend.h"
#include "cpu/kernels/x86_panel.h"

namespace trine::cpu {
namespace {

struct DotProduct {
  static constexpr bool exists = true;
  static __m256i dpbusd(__m256i sum, __m256i a, __m256i b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
};

}  // namespace

const Kernels& avxvnni_kernels() {
  static constexpr Kernels kernels =
      kernels_of<X86Panel<DotProduct>, X86Vector>("avxvnni", quantize, dot_f32, to_f16);
  return kernels;
}

}  // namespace trine::cpu
