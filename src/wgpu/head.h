#pragma once

#include "wgpu/builder.h"
#include "wgpu/choose.h"
#include "wgpu/pass.h"

#include <vector>

namespace trine::wgpu {

struct HeadOps {
  Op norm_all;  // of every row, for the trace
  Op norm;      // of those whose logits are computed
  std::vector<Op> output;
};

// Where the answers of a step on its way arrive.
struct StepReadback {
  Submission submission = 0;
  std::vector<std::int32_t> token_slots;  // of the rows that want a token
  std::vector<std::uint32_t> kept;        // rows of `logits` that are wanted
  std::vector<float> values;              // logits of slices that have come
  std::uint64_t launches = 0;
  Readback tokens;  // [slots]
  Readback logits;  // [logits_rows][V], of the last slice; made when first needed
};

// Errors: inference, model_load.
Result<HeadOps> make_head(const Builder& builder, const Matrices& matrices);

// Workspace::logits = W_out · rmsnorm(x)·w for the `rows` of the slice that step names, in the order of rows.
void record_logits(Pass& pass, const HeadOps& ops, std::uint32_t rows);

// Logits of plan.head_rows and the tokens chosen from them, on their way to `back`. Submits all that the pass
// has recorded, and waits only for logits that do not fit into one slice, or that are traced. `choose` may be
// null where no row wants a token. Errors: inference.
Result<void> head_forward(Pass& pass, const HeadOps& ops, const ChooseOps* choose, const Slots& slots,
                          StepReadback& back);

// Waits for them. Errors: inference.
Result<model::StepOutput> take_step(Gpu& gpu, StepReadback& back, std::size_t vocab);

}  // namespace trine::wgpu
