#pragma once

#include "wgpu/builder.h"
#include "wgpu/pass.h"
#include "wgpu/router.h"

#include <optional>
#include <vector>

namespace trine::wgpu {

struct ExpertOps {
  std::vector<Op> gate_up;  // one per part
  bool act_is_q8 = false;   // what they write
  std::vector<Op> down;     // one, or one per part and their sum

  // Their like in batches of many rows.
  Op many_group;
  std::vector<Op> many_gate_up;
  std::optional<Op> many_quantize;
  std::vector<Op> many_down;
  Op many_sum;
};

// Whether gate and up read 8-bit blocks, which they share.
bool experts_read_q8(const Builder& builder, const LayerMatrices& m);

// Errors: inference, model_load.
Result<ExpertOps> make_experts(const Builder& builder, const LayerMatrices& m);

// Adds what batches of many rows need. Errors: inference, model_load.
Result<void> add_experts_of_many(const Builder& builder, const LayerMatrices& m, ExpertOps& ops);

// x = attn_out + Σ_k w_k · W_down (silu(W_gate g) ⊙ W_up g) for every row, summed in rank order: norm,
// router, the chosen experts. Errors: inference.
Result<void> moe_ffn_forward_layer(Pass& pass, const RouterOps& router, const ExpertOps& ops, int layer);

}  // namespace trine::wgpu
