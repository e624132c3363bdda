#include "cpu/weights.h"

#include "base/check.h"
#include "device/tensors.h"

namespace trine::cpu {
namespace {

// Norms are F32 by the tensor table, and the reader refuses a tensor that is not aligned for its type.
const float* f32_row(const model::Weight& weight) {
  check(weight.codec->type == gguf::TensorType::F32, "norms are F32");
  return reinterpret_cast<const float*>(weight.data);
}

class Binder {
 public:
  Binder(const Kernels& kernels, bool fast) : kernels_(kernels), fast_(fast) {}

  Result<void> norm(const model::Weight& weight, const float*& row) const {
    row = f32_row(weight);
    return {};
  }
  Result<void> head_norms(const model::Weight& q_norm, const model::Weight& k_norm, LayerMatrices& m) const {
    TRINE_CHECK_OK(norm(q_norm, m.attn_q_norm));
    return norm(k_norm, m.attn_k_norm);
  }
  Result<void> matrix(const model::Weight& weight, Matrix& matrix) const {
    const gguf::TensorType type = weight.codec->type;
    matrix = {&weight, fast_ ? kernels_.fast(type) : kernels_.exact(type), fast_ && reads_q8(type)};
    check(matrix.multiply != nullptr, "every codec has a kernel");
    return {};
  }
  Result<void> experts(const model::Weight& weight, const model::Weight& /*beside*/, Matrix& place) const {
    return matrix(weight, place);
  }

 private:
  const Kernels& kernels_;
  bool fast_;
};

}  // namespace

Matrices bind_weights(const model::Weights& weights, const Kernels& kernels, model::Numerics numerics) {
  Matrices bound;
  bound.source = &weights;
  bound.layers.resize(weights.layers.size());
  const Binder binder(kernels, numerics == model::Numerics::fast);
  const Result<void> done = device::for_each_tensor(weights, bound, binder);
  check(done.has_value(), "pointing at weights cannot fail");
  if (weights.tied) bound.output = bound.embed;
  return bound;
}

}  // namespace trine::cpu
