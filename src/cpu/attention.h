#pragma once

#include "cpu/forward.h"

namespace trine::cpu {

// x += W_o · attention(q, k, v) for every row: norm, projections, head norms, rotary embedding, the KV write
// and causal grouped-query attention.
void attention_forward_layer(Pass& pass, const LayerMatrices& m, int layer);

}  // namespace trine::cpu
