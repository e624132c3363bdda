#pragma once

#include "cpu/forward.h"

#include <span>

namespace trine::cpu {

// logits = W_out · rmsnorm(x)·w for plan.head_rows, [head rows][V].
void head_forward(Pass& pass, std::span<float> logits);

}  // namespace trine::cpu
