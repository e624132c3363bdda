#pragma once

#include "wgpu/builder.h"
#include "wgpu/pass.h"
#include "wgpu/slots.h"

namespace trine::wgpu {

// Chooses the next tokens from Workspace::logits, on the device, and puts them into Workspace::last_choices,
// where the next step reads them.
struct ChooseOps {
  Op adjust;  // penalties, bias, mask
  Op argmax;
  Op merge;   // of greedy choices
  Op sample;  // of any others
};

// Errors: inference.
Result<ChooseOps> make_choose(const Builder& builder);

// Chooses for those of the slice's rows that want a token: the head rows [first, first + rows).
void record_choice(Pass& pass, const ChooseOps& ops, const Slots& slots, std::uint32_t first,
                   std::uint32_t rows);

}  // namespace trine::wgpu
