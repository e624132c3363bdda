#pragma once

#include "gguf/metadata.h"
#include "gguf/tensor_type.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::synth {

// The shape of a Qwen3-MoE model that `trine synth` can make, as its published config.json and GGUF state it.
struct Preset {
  std::string_view name;   // on the command line
  std::string_view model;  // whose shape it is
  std::int32_t n_layers;
  std::int32_t hidden_size;
  std::int32_t n_heads;
  std::int32_t n_kv_heads;
  std::int32_t head_dim;
  std::int32_t n_experts;
  std::int32_t experts_per_token;
  std::int32_t expert_ffn_size;
  std::int32_t
      ffn_size;  // of dense layers, which none of these models has; stated in the metadata all the same
  std::int32_t vocab_size;
  std::int32_t context_length;
  float rope_theta;
};
std::span<const Preset> presets();
const Preset* find_preset(std::string_view name);

// A tensor to be written: random values of this mean and standard deviation.
struct PlannedTensor {
  std::string name;
  std::vector<std::uint64_t> dims;  // innermost first
  gguf::TensorType type = gguf::TensorType::F32;
  double mean = 0;  // F32 only
  double deviation = 0;
};

// All tensors, with the types llama.cpp's Q4_K_M gives this architecture. Deviations keep activations near 1:
// matrices have 1/sqrt(columns), norms are near 1, and the router has twice that, so that the chosen experts'
// weights differ and the last chosen one is well above the first rejected one.
std::vector<PlannedTensor> plan_tensors(const Preset& preset);

// Whether Q4_K_M stores attn_v and ffn_down of this layer in Q6_K. Source: `use_more_bits` in llama.cpp's
// llama-quant.cpp: the first and the last eighth, and every third layer between.
bool uses_more_bits(std::int32_t layer, std::int32_t n_layers);

// general.* and qwen3moe.* keys; general.name says that the weights are random.
std::vector<gguf::Metadata::Entry> plan_metadata(const Preset& preset, std::uint64_t seed);

}  // namespace trine::synth
