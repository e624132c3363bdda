#include "model/keys.h"

#include <fmt/format.h>
#include <algorithm>
#include <initializer_list>

namespace trine::model {
namespace {

// Keys of other models' features. A file may carry one at a value that leaves the feature out, as tools do
// that save a model again with every key they know: llama.cpp writes its own defaults then, such as 50 for
// attn_logit_softcapping, which this architecture never applies. Any other value means a model that this code
// would compute wrongly.
struct ForeignKey {
  std::string_view suffix;
  std::initializer_list<double> neutral;
  std::string_view feature;
};
constexpr ForeignKey foreign_keys[] = {
    {"attention.sliding_window", {0}, "sliding-window attention"},
    {"attention.sliding_window_pattern", {0}, "sliding-window attention"},
    {"attention.shared_kv_layers", {0}, "layers that share keys and values"},
    {"attention.scale", {0}, "another attention scale"},
    {"attention.value_scale", {0, 1}, "scaled values"},
    {"attention.output_scale", {0, 1}, "scaled attention output"},
    {"attention.temperature_scale", {0}, "attention temperature"},
    {"attention.temperature_length", {0}, "attention temperature"},
    {"attention.clamp_kqv", {0}, "clamped queries and keys"},
    {"attention.max_alibi_bias", {0}, "ALiBi positions"},
    {"attention.causal", {1}, "attention that is not causal"},
    {"attn_logit_softcapping", {0, 50}, "soft-capped attention"},
    {"router_logit_softcapping", {0, 30}, "a soft-capped router"},
    {"final_logit_softcapping", {0, 30}, "soft-capped logits"},
    {"logit_scale", {0, 1}, "scaled logits"},
    {"embedding_scale", {0, 1}, "scaled embeddings"},
    {"residual_scale", {0, 1}, "scaled residuals"},
    {"use_parallel_residual", {0}, "parallel residuals"},
    {"pooling_type", {0, 4294967295}, "pooled embeddings"},
    {"expert_shared_count", {0}, "shared experts"},
    {"expert_shared_feed_forward_length", {0}, "shared experts"},
    {"expert_weights_scale", {0, 1}, "scaled expert weights"},
    {"expert_gating_func", {0, 1}, "a router without softmax"},
    {"expert_group_count", {0, 1}, "expert groups"},
    {"expert_group_used_count", {0, 1}, "expert groups"},
    {"expert_group_scale", {0, 0.05, 1}, "expert groups"},
    {"experts_per_group", {0}, "expert groups"},
    {"moe_every_n_layers", {0, 1}, "dense layers"},
    {"interleave_moe_layer_step", {0, 1}, "dense layers"},
    {"leading_dense_block_count", {0}, "dense layers"},
    {"nextn_predict_layers", {0}, "next-token prediction layers"},
    {"swiglu_clamp_exp", {0}, "clamped activations"},
    {"swiglu_clamp_shexp", {0}, "clamped activations"},
    {"rope.dimension_sections", {0}, "multi-part rotary embedding"},
    {"rope.scaling.alpha", {0, 1}, "rope scaling by alpha"},
    {"rope.scaling.yarn_log_multiplier", {0}, "yarn with its own log multiplier"},
};

// Some are stored as 32-bit floats.
bool is_one_of(double number, std::initializer_list<double> values) {
  return std::any_of(values.begin(), values.end(), [&](double value) {
    return number == value || number == static_cast<double>(static_cast<float>(value));
  });
}

}  // namespace

Result<void> refuse_foreign_keys(const Keys& keys) {
  for (const ForeignKey& foreign : foreign_keys) {
    if (!keys.has(foreign.suffix)) continue;
    const auto number = keys.find_number(foreign.suffix);
    if (number && is_one_of(*number, foreign.neutral)) continue;
    std::string expected;
    for (const double neutral : foreign.neutral) expected += fmt::format("{}, ", neutral);
    return keys.refuse(ErrorCode::unsupported, fmt::format("{} not supported", foreign.feature),
                       foreign.suffix, expected + "or no such key", keys.text(foreign.suffix));
  }
  return {};
}

}  // namespace trine::model
