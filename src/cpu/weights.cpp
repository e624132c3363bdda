#include "cpu/weights.h"

#include "base/check.h"

namespace trine::cpu {
namespace {

// Norms are F32 by the tensor table, and the reader refuses a tensor that is not aligned for its type.
const float* f32_row(const model::Weight& weight) {
  check(weight.codec->type == gguf::TensorType::F32, "norms are F32");
  return reinterpret_cast<const float*>(weight.data);
}

}  // namespace

Matrices bind_weights(const model::Weights& weights, const Kernels& kernels, model::Numerics numerics) {
  const bool fast = numerics == model::Numerics::fast;
  const auto bind = [&](const model::Weight& weight) {
    const gguf::TensorType type = weight.codec->type;
    const Matrix matrix{&weight, fast ? kernels.fast(type) : kernels.exact(type), fast && reads_q8(type)};
    check(matrix.multiply != nullptr, "every codec has a kernel");
    return matrix;
  };

  Matrices bound;
  bound.source = &weights;
  bound.output_norm = f32_row(weights.output_norm);
  bound.output = bind(weights.output);
  bound.layers.reserve(weights.layers.size());
  for (const model::LayerWeights& w : weights.layers) {
    LayerMatrices m;
    m.attn_norm = f32_row(w.attn_norm);
    m.attn_q = bind(w.attn_q);
    m.attn_k = bind(w.attn_k);
    m.attn_v = bind(w.attn_v);
    m.attn_q_norm = f32_row(w.attn_q_norm);
    m.attn_k_norm = f32_row(w.attn_k_norm);
    m.attn_output = bind(w.attn_output);
    m.ffn_norm = f32_row(w.ffn_norm);
    m.router = bind(w.router);
    m.expert_gate = bind(w.expert_gate);
    m.expert_up = bind(w.expert_up);
    m.expert_down = bind(w.expert_down);
    bound.layers.push_back(m);
  }
  return bound;
}

}  // namespace trine::cpu
