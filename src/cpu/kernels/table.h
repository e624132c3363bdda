#pragma once

#include "cpu/kernels/attend.h"
#include "cpu/kernels/matmul.h"

namespace trine::cpu {
namespace {  // see the top of unpack.h

// The kernels of an instruction set with S for its products and V for attention.
template <typename S, typename V>
constexpr Kernels kernels_of(std::string_view isa, decltype(Kernels::quantize) quantize,
                             decltype(Kernels::dot_f32) dot_f32, decltype(Kernels::to_f16) to_f16) {
  return {
      .isa = isa,
      .fast = [](gguf::TensorType type) { return find_matmul<S, false>(type); },
      .exact = [](gguf::TensorType type) { return find_matmul<S, true>(type); },
      .quantize = quantize,
      .attend = find_attend<V>,
      .dot_f32 = dot_f32,
      .exp = exp_of<V>,
      .swiglu = swiglu_of<V>,
      .to_f16 = to_f16,
  };
}

}  // namespace
}  // namespace trine::cpu
