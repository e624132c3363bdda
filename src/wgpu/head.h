#pragma once

#include "wgpu/builder.h"
#include "wgpu/pass.h"

#include <span>
#include <vector>

namespace trine::wgpu {

struct HeadOps {
  Op norm_all;  // of every row, for the trace
  Op norm;      // of those that want logits
  std::vector<Op> output;
};

// Errors: inference, model_load.
Result<HeadOps> make_head(const Builder& builder, const Matrices& matrices);

// Workspace::logits = W_out · rmsnorm(x)·w for the `rows` of the slice that step names, in batch order.
void record_logits(Pass& pass, const HeadOps& ops, std::uint32_t rows);

// The same, read back to `logits`. Runs all that the pass has recorded. Errors: inference.
Result<void> head_forward(Pass& pass, const HeadOps& ops, std::span<float> logits);

}  // namespace trine::wgpu
