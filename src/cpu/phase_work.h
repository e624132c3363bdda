#pragma once

#include "cpu/forward.h"

namespace trine::cpu {

// Adds to a timed pass what its phases read and multiply: those of a layer behind it, while the workspace has
// its experts, and those at both ends of the model.
void count_layer_work(const Pass& pass, const LayerMatrices& m);
void count_end_work(const Pass& pass);

}  // namespace trine::cpu
