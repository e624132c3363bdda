#pragma once

#include "base/check.h"
#include "base/error.h"
#include "model/weights.h"

#include <cstddef>

namespace trine::device {

// The walk that loads a model: every tensor of `weights`, once each and in the order of the file's layers,
// with the place that `held` has for it under the same name. What is done with it, the visitor says by how a
// tensor is used:
//
//   norm(weight, place)                a row of F32
//   head_norms(q_norm, k_norm, layer)  rows of F32, which some backends hold with other constants of the
//   layer matrix(weight, place)              rows that are multiplied experts(weight, beside, place)     a
//   matrix per expert; `beside` is what one kernel reads with it: W_up for
//                                      W_gate and the other way round, else the weight itself
//
// Each returns Result<void>; the first error ends the walk. `held` has as many layers as `weights`. A file
// without an output matrix has none here either: the embedding is both. With the weights themselves as
// `held`, a visitor can count without a device.
template <typename Held, typename Visitor>
Result<void> for_each_tensor(const model::Weights& weights, Held& held, Visitor& visitor) {
  check(held.layers.size() == weights.layers.size(), "every layer of weights has a place");
  TRINE_CHECK_OK(visitor.matrix(weights.embed, held.embed));
  TRINE_CHECK_OK(visitor.norm(weights.output_norm, held.output_norm));
  if (!weights.tied) TRINE_CHECK_OK(visitor.matrix(weights.output, held.output));
  for (std::size_t layer = 0; layer < weights.layers.size(); ++layer) {
    const model::LayerWeights& w = weights.layers[layer];
    auto& place = held.layers[layer];
    TRINE_CHECK_OK(visitor.norm(w.attn_norm, place.attn_norm));
    TRINE_CHECK_OK(visitor.matrix(w.attn_q, place.attn_q));
    TRINE_CHECK_OK(visitor.matrix(w.attn_k, place.attn_k));
    TRINE_CHECK_OK(visitor.matrix(w.attn_v, place.attn_v));
    TRINE_CHECK_OK(visitor.head_norms(w.attn_q_norm, w.attn_k_norm, place));
    TRINE_CHECK_OK(visitor.matrix(w.attn_output, place.attn_output));
    TRINE_CHECK_OK(visitor.norm(w.ffn_norm, place.ffn_norm));
    TRINE_CHECK_OK(visitor.matrix(w.router, place.router));
    TRINE_CHECK_OK(visitor.experts(w.expert_gate, w.expert_up, place.expert_gate));
    TRINE_CHECK_OK(visitor.experts(w.expert_up, w.expert_gate, place.expert_up));
    TRINE_CHECK_OK(visitor.experts(w.expert_down, w.expert_down, place.expert_down));
  }
  return {};
}

}  // namespace trine::device
