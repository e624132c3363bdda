#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace trine::model {

// The named intermediate results that every backend can produce, in the order a forward pass makes them.
// Shapes are per token row: H hidden_size, Q n_heads·head_dim, K n_kv_heads·head_dim, E experts, k
// experts_per_token, F expert_ffn_size, V vocabulary.
enum class Stage : std::uint8_t {
  embed,           // [H]
  attn_norm,       // [H]      rmsnorm(x)·w
  qkv,             // [Q+K+K]  q, k, v before the head norms
  qk_norm_rope,    // [Q+K]    q, k after head norm and rotary embedding
  attention,       // [Q]
  attn_out,        // [H]      the residual stream after W_o is added
  ffn_norm,        // [H]
  router_logits,   // [E]
  expert_ids,      // [k]      chosen experts by falling probability, as floats (exact below 2^24)
  expert_weights,  // [k]
  expert_act,      // [k·F]    silu(gate)·up of each chosen expert, in rank order
  moe_out,         // [H]      weighted sum of the experts, before the residual
  layer_out,       // [H]      the residual stream after the layer
  final_norm,      // [H]
  logits,          // [V]
};
inline constexpr int stage_count = 15;

std::string_view name_of(Stage stage);
// False when the name is unknown.
bool parse_stage(std::string_view name, Stage& stage);
// embed, final_norm and logits belong to no layer and report layer -1.
bool is_per_layer(Stage stage);

// Receives stages while a forward pass runs. Tracing changes no other number.
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  // Asked before a stage is materialised, so that fused kernels keep their speed when it is not wanted.
  virtual bool wants(Stage stage, int layer) = 0;
  // `values` holds rows × width floats, row-major, valid only during the call. `first_row` is the index of
  // the first of these rows in the batch (backends may deliver a batch in slices, or only the rows that
  // exist: logits).
  virtual void take(Stage stage, int layer, std::int64_t first_row, std::int64_t rows, std::int64_t width,
                    std::span<const float> values) = 0;
};

}  // namespace trine::model
