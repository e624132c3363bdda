#include "cpu/kernels/kernels.h"
#include "cpu/kernels/table.h"

#include "cpu/kernels/avx512_intrinsics.h"

#include "cpu/kernels/avx512_attend.h"
#include "cpu/kernels/avx512_panel.h"

namespace trine::cpu {

const Kernels& avx512vnni_kernels() {
  static constexpr Kernels kernels =
      kernels_of<Avx512Panel, Avx512Vector>("avx512vnni", quantize, dot_f32, to_f16);
  return kernels;
}

}  // namespace trine::cpu
