#include "synth/plan.h"

#include <fmt/format.h>
#include <cmath>

namespace trine::synth {
namespace {

using gguf::make_value;
using gguf::TensorType;

// Sources: config.json of Qwen/Qwen3-Coder-30B-A3B-Instruct and of Qwen/Qwen3-235B-A22B. Order of the
// numbers: layers, hidden size, heads, KV heads, head dim; experts, per token, expert width, dense width;
// vocabulary, context, theta.
constexpr Preset table[] = {
    {"qwen3-coder-30b-a3b", "Qwen3-Coder-30B-A3B", 48, 2048, 32, 4, 128, 128, 8, 768, 5472, 151936, 262144,
     1e7f},
    {"qwen3-235b-a22b", "Qwen3-235B-A22B", 94, 4096, 64, 4, 128, 128, 8, 1536, 12288, 151936, 40960, 1e6f},
    {"mini", "a small Qwen3-MoE", 4, 256, 4, 2, 64, 16, 4, 256, 768, 512, 4096, 1e6f},
};

constexpr double norm_deviation = 0.1;
constexpr double router_gain = 2;

// llama.cpp's llama_ftype for Q4_K_M, and the version of its quantisation formats.
constexpr std::uint32_t file_type_q4_k_m = 15;
constexpr std::uint32_t quantization_version = 2;

class Plan {
 public:
  void matrix(std::string name, TensorType type, std::int32_t rows, std::int32_t columns, double gain = 1) {
    add({std::move(name), {size(columns), size(rows)}, type, 0, gain / std::sqrt(columns)});
  }
  void experts(std::string name, TensorType type, std::int32_t count, std::int32_t rows,
               std::int32_t columns) {
    add({std::move(name), {size(columns), size(rows), size(count)}, type, 0, 1 / std::sqrt(columns)});
  }
  void norm(std::string name, std::int32_t width) {
    add({std::move(name), {size(width)}, TensorType::F32, 1, norm_deviation});
  }
  std::vector<PlannedTensor> take() { return std::move(tensors_); }

 private:
  static std::uint64_t size(std::int32_t n) { return static_cast<std::uint64_t>(n); }
  void add(PlannedTensor tensor) { tensors_.push_back(std::move(tensor)); }

  std::vector<PlannedTensor> tensors_;
};

}  // namespace

std::span<const Preset> presets() {
  return table;
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : table) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

bool uses_more_bits(std::int32_t layer, std::int32_t n_layers) {
  const std::int32_t eighth = n_layers / 8;
  return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

std::vector<PlannedTensor> plan_tensors(const Preset& p) {
  const std::int32_t hidden = p.hidden_size;
  const std::int32_t q_size = p.n_heads * p.head_dim;
  const std::int32_t kv_size = p.n_kv_heads * p.head_dim;
  Plan plan;
  plan.matrix("token_embd.weight", TensorType::Q4_K, p.vocab_size, hidden,
              std::sqrt(hidden));  // looked up: deviation 1
  for (std::int32_t layer = 0; layer < p.n_layers; ++layer) {
    const TensorType mixed = uses_more_bits(layer, p.n_layers) ? TensorType::Q6_K : TensorType::Q4_K;
    const auto name = [layer](const char* role) { return fmt::format("blk.{}.{}.weight", layer, role); };
    plan.norm(name("attn_norm"), hidden);
    plan.matrix(name("attn_q"), TensorType::Q4_K, q_size, hidden);
    plan.matrix(name("attn_k"), TensorType::Q4_K, kv_size, hidden);
    plan.matrix(name("attn_v"), mixed, kv_size, hidden);
    plan.norm(name("attn_q_norm"), p.head_dim);
    plan.norm(name("attn_k_norm"), p.head_dim);
    plan.matrix(name("attn_output"), TensorType::Q4_K, hidden, q_size);
    plan.norm(name("ffn_norm"), hidden);
    plan.matrix(name("ffn_gate_inp"), TensorType::F32, p.n_experts, hidden, router_gain);
    plan.experts(name("ffn_gate_exps"), TensorType::Q4_K, p.n_experts, p.expert_ffn_size, hidden);
    plan.experts(name("ffn_up_exps"), TensorType::Q4_K, p.n_experts, p.expert_ffn_size, hidden);
    plan.experts(name("ffn_down_exps"), mixed, p.n_experts, hidden, p.expert_ffn_size);
  }
  plan.norm("output_norm.weight", hidden);
  plan.matrix("output.weight", TensorType::Q6_K, p.vocab_size, hidden);
  return plan.take();
}

std::vector<gguf::Metadata::Entry> plan_metadata(const Preset& p, std::uint64_t seed) {
  const auto count = [](std::int32_t n) { return make_value(static_cast<std::uint32_t>(n)); };
  return {
      {"general.architecture", make_value(std::string("qwen3moe"))},
      {"general.type", make_value(std::string("model"))},
      {"general.name", make_value(fmt::format("Synthetic random weights in the shape of {}", p.model))},
      {"general.description",
       make_value(
           fmt::format("Made by trine synth --preset {} --layers {} --seed {}: for tests and measurements",
                       p.name, p.n_layers, seed))},
      {"general.file_type", make_value(file_type_q4_k_m)},
      {"general.quantization_version", make_value(quantization_version)},
      {"qwen3moe.block_count", count(p.n_layers)},
      {"qwen3moe.context_length", count(p.context_length)},
      {"qwen3moe.embedding_length", count(p.hidden_size)},
      {"qwen3moe.feed_forward_length", count(p.ffn_size)},
      {"qwen3moe.attention.head_count", count(p.n_heads)},
      {"qwen3moe.attention.head_count_kv", count(p.n_kv_heads)},
      {"qwen3moe.attention.key_length", count(p.head_dim)},
      {"qwen3moe.attention.value_length", count(p.head_dim)},
      {"qwen3moe.attention.layer_norm_rms_epsilon", make_value(1e-6f)},
      {"qwen3moe.rope.freq_base", make_value(p.rope_theta)},
      {"qwen3moe.expert_count", count(p.n_experts)},
      {"qwen3moe.expert_used_count", count(p.experts_per_token)},
      {"qwen3moe.expert_feed_forward_length", count(p.expert_ffn_size)},
  };
}

}  // namespace trine::synth
