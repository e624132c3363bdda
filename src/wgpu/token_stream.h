#pragma once

#include "model/token_stream.h"
#include "wgpu/builder.h"
#include "wgpu/pass.h"

#include <functional>
#include <memory>

namespace trine::wgpu {

// Chooses the next token from the logits of one row, on the device, and puts it into Workspace::rows, where
// the next step reads it.
struct ChooseOps {
  Buffer best;     // [parts] (key, id)
  Buffer sampler;  // one entry, see sample.wgsl
  Buffer token;    // what was chosen last; 0xffffffff: nothing could be
  Op argmax;
  Op merge;   // of a greedy choice
  Op sample;  // of any other
};

// Errors: inference, model_load.
Result<ChooseOps> make_choose(const Builder& builder);

// Begins a pass over the row that is in Workspace::rows and records it up to its logits; `positions` of the
// sequence are there with it.
using RecordStep = std::function<Result<Pass>(std::uint32_t positions)>;

// The stream of a request whose first row and page table are in the workspace. `is_busy` is true while it
// lives, and what it borrows must outlive it. Errors: inference, model_load.
Result<std::unique_ptr<model::TokenStream>> start_stream(Gpu& gpu, const ChooseOps& ops,
                                                         const model::StreamRequest& request,
                                                         RecordStep record, bool& is_busy);

}  // namespace trine::wgpu
