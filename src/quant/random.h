#pragma once

#include "base/error.h"
#include "gguf/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace trine::quant {

// Which random numbers: every (seed, stream) names an endless tensor, and block n of it is the same bytes
// whoever asks for it, in whatever pieces. Streams keep the tensors of one model apart.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
};

// Fills `out` with blocks `first_block`, `first_block` + 1, … of a random tensor whose values have mean 0
// (within a thousandth of the deviation) and standard deviation `deviation` (within a hundredth). All bits
// that can vary do: quants are uniform, scales of sub-blocks differ by up to two, and those of blocks by
// half, so that no kernel can mistake one for another. F32 values are uniform. `out` holds a whole number of
// blocks; in F32 a block is one value. Errors: unsupported for types other than F32, Q4_K and Q6_K;
// validation_failed for a deviation that the type's half precision scale cannot hold well (below 0.0012 in
// Q4_K, 0.0089 in Q6_K; above a million).
Result<void> fill_random(gguf::TensorType type, double deviation, RandomStream stream,
                         std::uint64_t first_block, std::span<std::byte> out);

}  // namespace trine::quant
