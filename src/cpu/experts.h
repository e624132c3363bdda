#pragma once

#include "cpu/forward.h"

namespace trine::cpu {

// x += Σ_k w_k · W_down (silu(W_gate g) ⊙ W_up g), summed in rank order, over the groups that route_tokens()
// made. Only the chosen experts' rows are read.
void moe_ffn_forward_layer(Pass& pass, const LayerMatrices& m, int layer);

}  // namespace trine::cpu
