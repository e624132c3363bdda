#pragma once

#include "wgpu/attention.h"
#include "wgpu/builder.h"
#include "wgpu/experts.h"
#include "wgpu/head.h"
#include "wgpu/kv_cache.h"
#include "wgpu/pass.h"
#include "wgpu/router.h"

#include <span>
#include <vector>

namespace trine::wgpu {

struct LayerOps {
  AttentionOps attention;
  RouterOps router;
  ExpertOps experts;
};

// The operations of a pass, in order.
struct ForwardOps {
  std::vector<Op> embed;  // one per part of the table
  std::vector<LayerOps> layers;
  HeadOps head;
};

// Errors: inference, model_load.
Result<ForwardOps> make_forward(const Builder& builder, const Matrices& matrices, const KvCache& kv);
// Adds what batches of many rows need. Errors: inference, model_load.
Result<void> add_forward_of_many(const Builder& builder, const Matrices& matrices, const KvCache& kv,
                                 ForwardOps& ops);

// work.x = the last layer's output, from the tokens and positions in work.rows. Errors: inference.
Result<void> forward_layers(Pass& pass, const ForwardOps& ops);

// The whole model on a step, up to the tokens and logits that it wants, which are on their way to `back`
// then. `choose` may be null where no row wants a token. Errors: inference.
Result<void> forward_qwen3_moe(Pass& pass, const ForwardOps& ops, const ChooseOps* choose, const Slots& slots,
                               StepReadback& back);

}  // namespace trine::wgpu
