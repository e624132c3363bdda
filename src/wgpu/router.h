#pragma once

#include "wgpu/builder.h"
#include "wgpu/pass.h"

#include <vector>

namespace trine::wgpu {

struct RouterOps {
  Op norm_logits;
  // Their like in batches of many rows, and the choice; in others expert_gate_up.wgsl chooses.
  Op many_norm;
  std::vector<Op> many_logits;
  Op many_top_k;
};

// Errors: inference, model_load.
Result<RouterOps> make_router(const Builder& builder, const LayerMatrices& m);
// Adds what batches of many rows need. Errors: inference, model_load.
Result<void> add_router_of_many(const Builder& builder, const LayerMatrices& m, RouterOps& ops);

// normed and router_logits of every row, from attn_out; for many rows ids and expert_weights too, which
// report_chosen() reports when they are there for any number of rows. Errors: inference.
Result<void> route_tokens(Pass& pass, const RouterOps& ops, int layer);
// Hands ids and expert_weights to the trace. Errors: inference.
Result<void> report_chosen(Pass& pass, int layer);

}  // namespace trine::wgpu
