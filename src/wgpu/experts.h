#pragma once

#include "wgpu/forward.h"

#include <vector>

namespace trine::wgpu {

struct ExpertOps {
  Op norm;
  std::vector<Op> gate_up;  // one per part
  bool act_is_q8 = false;   // what they write
  std::vector<Op> down;     // one, or one per part and their sum
};

// Errors: inference, model_load.
Result<ExpertOps> make_experts(const Builder& builder, const LayerMatrices& m);

// x = attn_out + Σ_k w_k · W_down (silu(W_gate g) ⊙ W_up g), summed in rank order. Errors: inference.
Result<void> moe_ffn_forward_layer(Pass& pass, const ExpertOps& ops, int layer);

}  // namespace trine::wgpu
