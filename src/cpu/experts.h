#pragma once

#include "cpu/forward.h"

namespace trine::cpu {

// x += Σ_k w_k · W_down (silu(W_gate g) ⊙ W_up g) for every row, summed in rank order: norm, router, the
// chosen experts. Only their rows are read.
void moe_ffn_forward_layer(Pass& pass, const LayerMatrices& m, int layer);

}  // namespace trine::cpu
