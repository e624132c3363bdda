#pragma once

#include "gguf/tensor_type.h"
#include "quant/iq.h"
#include "quant/k_quants.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace trine::test {

// Where a block keeps its half-precision numbers: random bytes there would be NaN now and then.
inline std::vector<std::size_t> half_fields(gguf::TensorType type) {
  switch (type) {
    case gguf::TensorType::F16:
    case gguf::TensorType::Q4_0:
    case gguf::TensorType::Q5_0:
    case gguf::TensorType::Q8_0:
    case gguf::TensorType::IQ4_NL:
    case gguf::TensorType::IQ4_XS:
    case gguf::TensorType::IQ2_XXS:
    case gguf::TensorType::IQ2_XS:
    case gguf::TensorType::IQ2_S:
    case gguf::TensorType::IQ3_XXS:
    case gguf::TensorType::IQ3_S:
    case gguf::TensorType::IQ1_S:
      return {0};
    case gguf::TensorType::Q4_1:
    case gguf::TensorType::Q5_1:
    case gguf::TensorType::Q4_K:
    case gguf::TensorType::Q5_K:
      return {0, 2};
    case gguf::TensorType::Q2_K:
      return {offsetof(quant::BlockQ2_K, d), offsetof(quant::BlockQ2_K, dmin)};
    case gguf::TensorType::Q3_K:
      return {offsetof(quant::BlockQ3_K, d)};
    case gguf::TensorType::Q6_K:
      return {offsetof(quant::BlockQ6_K, d)};
    case gguf::TensorType::TQ1_0:
      return {offsetof(quant::BlockTQ1_0, d)};
    case gguf::TensorType::TQ2_0:
      return {offsetof(quant::BlockTQ2_0, d)};
    case gguf::TensorType::IQ1_M:
      return {offsetof(quant::BlockIQ1_M, scales)};
    default:
      return {};
  }
}

// `half` has its bits; `field` is one of half_fields().
inline void set_half(gguf::TensorType type, std::size_t field, std::uint16_t half, std::byte* block) {
  if (type != gguf::TensorType::IQ1_M) {
    std::memcpy(block + field, &half, sizeof half);
    return;
  }
  for (std::size_t w = 0; w < 4; ++w) {  // the upper half of every other byte
    std::byte& upper = block[field + 2 * w + 1];
    upper = (upper & std::byte{0x0F}) | static_cast<std::byte>((half >> (4 * w) & 15) << 4);
  }
}

}  // namespace trine::test
