#pragma once

#include "cpu/kernels/kernels.h"
#include "model/device_model.h"
#include "model/weights.h"

#include <cstdint>
#include <vector>

namespace trine::cpu {

// A weight in the file's mapping with the kernel for its own type.
struct Matrix {
  const model::Weight* weight = nullptr;
  MatMul multiply = nullptr;
  bool reads_q8 = false;  // the kernel wants 8-bit activations

  std::int64_t rows() const { return weight->rows; }
  std::int64_t columns() const { return weight->columns; }

  const std::byte* row(std::int64_t r, std::int64_t expert = 0) const { return weight->row(r, expert); }
  // Weight rows [begin, end) of one expert; `next` as WeightRows has it, by itself what follows them.
  WeightRows slice(std::int64_t begin, std::int64_t end, std::int64_t expert = 0,
                   const std::byte* next = nullptr) const {
    const std::byte* const first = row(begin, expert);
    const auto row_bytes = static_cast<std::int64_t>(weight->row_bytes);
    return {first, row_bytes, end - begin, next != nullptr ? next : first + (end - begin) * row_bytes};
  }
  // out[t·out_stride + r] for the rows of a slice and every row of `x`.
  void apply(const WeightRows& rows, const Activations& x, float* out, std::int64_t out_stride) const {
    multiply(rows, x, out, out_stride);
  }
};

struct LayerMatrices {
  const float* attn_norm = nullptr;    // [H]
  Matrix attn_q, attn_k, attn_v;       // [Q][H], [K][H], [K][H]
  const float* attn_q_norm = nullptr;  // [D]
  const float* attn_k_norm = nullptr;  // [D]
  Matrix attn_output;                  // [H][Q]
  const float* ffn_norm = nullptr;     // [H]
  Matrix router;                       // [E][H], always F32
  Matrix expert_gate, expert_up;       // [E][F][H]
  Matrix expert_down;                  // [E][H][F]
};

// The model's weights as the CPU uses them: nothing is copied, nothing is widened.
struct Matrices {
  const model::Weights* source = nullptr;
  std::vector<LayerMatrices> layers;
  Matrix embed;                        // [V][H]
  const float* output_norm = nullptr;  // [H]
  Matrix output;                       // [V][H]; the embedding when the file has no other
};

Matrices bind_weights(const model::Weights& weights, const Kernels& kernels, model::Numerics numerics);

}  // namespace trine::cpu
