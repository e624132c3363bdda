#include "cpu/kernels/kernels.h"
#include "cpu/kernels/table.h"

#include <immintrin.h>

#include "cpu/kernels/x86_attend.h"
#include "cpu/kernels/x86_panel.h"

namespace trine::cpu {
namespace {

// Without a byte dot product: maddubs and madd.
struct NoDotProduct {
  static constexpr bool exists = false;
  static __m256i dpbusd(__m256i sum, __m256i, __m256i) { return sum; }
};

}  // namespace

const Kernels& avx2_kernels() {
  static constexpr Kernels kernels =
      kernels_of<X86Panel<NoDotProduct>, X86Vector>("avx2", quantize, dot_f32, to_f16);
  return kernels;
}

}  // namespace trine::cpu
