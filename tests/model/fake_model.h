#pragma once

#include "gguf_builder.h"

#include <cstdint>
#include <string>
#include <vector>

namespace trine::test {

inline constexpr std::uint32_t id_f32 = 0;
inline constexpr std::uint32_t id_f16 = 1;
inline constexpr std::uint32_t id_q8_0 = 8;

// Bytes of a tensor of the three types above.
inline std::uint64_t bytes_of(const std::vector<std::uint64_t>& dims, std::uint32_t type) {
  std::uint64_t elements = 1;
  for (const std::uint64_t dim : dims) elements *= dim;
  if (type == id_q8_0) return elements / 32 * 34;
  return elements * (type == id_f32 ? 4 : 2);
}

inline void add_tensor(GgufBuilder& builder, std::string name, std::vector<std::uint64_t> dims,
                       std::uint32_t type = id_f32) {
  const std::uint64_t bytes = bytes_of(dims, type);
  builder.tensor(std::move(name), std::move(dims), type, bytes);
}

// A Qwen3-MoE model as small as the rules allow: 2 layers, H 32, Q 4·16, K 2·16, E 4 top 2, F 64, V 10. The
// second layer holds Q8_0 experts. Its weights mean nothing.
inline GgufBuilder fake_model() {
  GgufBuilder builder;
  builder.string("general.architecture", "qwen3moe").string("general.name", "fake");
  builder.u32("qwen3moe.block_count", 2).u32("qwen3moe.context_length", 128);
  builder.u32("qwen3moe.embedding_length", 32).u32("qwen3moe.attention.head_count", 4);
  builder.u32("qwen3moe.attention.head_count_kv", 2).u32("qwen3moe.attention.key_length", 16);
  builder.u32("qwen3moe.attention.value_length", 16).f32("qwen3moe.rope.freq_base", 10000);
  builder.f32("qwen3moe.attention.layer_norm_rms_epsilon", 1e-6f).u32("qwen3moe.expert_count", 4);
  builder.u32("qwen3moe.expert_used_count", 2).u32("qwen3moe.expert_feed_forward_length", 64);
  builder.strings("tokenizer.ggml.tokens", {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"});

  add_tensor(builder, "token_embd.weight", {32, 10});
  add_tensor(builder, "output_norm.weight", {32});
  add_tensor(builder, "output.weight", {32, 10}, id_f16);
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    const std::uint32_t expert_type = layer == 0 ? id_f32 : id_q8_0;
    add_tensor(builder, prefix + "attn_norm.weight", {32});
    add_tensor(builder, prefix + "attn_q.weight", {32, 64});
    add_tensor(builder, prefix + "attn_k.weight", {32, 32});
    add_tensor(builder, prefix + "attn_v.weight", {32, 32});
    add_tensor(builder, prefix + "attn_q_norm.weight", {16});
    add_tensor(builder, prefix + "attn_k_norm.weight", {16});
    add_tensor(builder, prefix + "attn_output.weight", {64, 32});
    add_tensor(builder, prefix + "ffn_norm.weight", {32});
    add_tensor(builder, prefix + "ffn_gate_inp.weight", {32, 4});
    add_tensor(builder, prefix + "ffn_gate_exps.weight", {32, 64, 4}, expert_type);
    add_tensor(builder, prefix + "ffn_up_exps.weight", {32, 64, 4}, expert_type);
    add_tensor(builder, prefix + "ffn_down_exps.weight", {64, 32, 4}, expert_type);
  }
  return builder;
}

}  // namespace trine::test
