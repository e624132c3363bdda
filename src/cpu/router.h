#pragma once

#include "cpu/forward.h"

namespace trine::cpu {

// Chooses k experts for one token: softmax over all E logits, the k largest (ties to the lower id), weights
// renormalised to sum 1. A NaN logit gives NaN weights and still k distinct ids below E.
void choose_experts(const float* logits, std::int64_t n_experts, std::int64_t k, std::int32_t* ids,
                    float* weights);

// Fills router_logits, ids, expert_weights, and groups the batch's choices by expert (groups, slot_of,
// row_of).
void route_tokens(Pass& pass, const LayerMatrices& m, int layer);

}  // namespace trine::cpu
