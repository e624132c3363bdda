#pragma once

#include "cpu/forward.h"

#include <span>

namespace trine::cpu {

// logits = W_out · rmsnorm(x)·w for the rows that want them, [rows that want][V], in batch order.
void head_forward(Pass& pass, std::span<float> logits);

}  // namespace trine::cpu
