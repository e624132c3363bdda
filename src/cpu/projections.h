#pragma once

#include "cpu/forward.h"

namespace trine::cpu {

// The matrices around attention, for every row of a step: qkv = W_q h, W_k h, W_v h of the normed rows, and
// x += W_o · attended.
void project_qkv(Pass& pass, const LayerMatrices& m);
void project_output(Pass& pass, const LayerMatrices& m);

}  // namespace trine::cpu
