#pragma once

#include "wgpu/forward.h"

#include <vector>

namespace trine::wgpu {

struct RouterOps {
  std::vector<Op> logits;
  Op top_k;
  std::vector<Op> many_logits;  // of batches of many rows
};

// Errors: inference, model_load.
Result<RouterOps> make_router(const Builder& builder, const LayerMatrices& m);

// Adds what batches of many rows need. Errors: inference, model_load.
Result<void> add_router_of_many(const Builder& builder, const LayerMatrices& m, RouterOps& ops);

// router_logits, ids and expert_weights of every row, from work.normed. Errors: inference.
Result<void> route_tokens(Pass& pass, const RouterOps& ops, int layer);

}  // namespace trine::wgpu
