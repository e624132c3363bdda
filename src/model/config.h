#pragma once

#include "base/error.h"
#include "gguf/file.h"

#include <cstdint>
#include <string>
#include <vector>

namespace trine::model {

// Rotary-embedding scaling as the file asks for it. `none` is the plain NEOX rotation.
struct RopeScaling {
  enum class Kind { none, linear, yarn };
  Kind kind = Kind::none;
  double factor = 1.0;                       // stretches positions by this much
  std::int64_t original_context_length = 0;  // yarn: trained on; context_length when the key is absent
  double attention_factor = 1.0;             // multiplies cos and sin; yarn's 0.1·ln(factor) + 1 is included
  double beta_fast = 32.0;  // yarn: dimensions that turn more often than this are not stretched
  double beta_slow = 1.0;   // yarn: dimensions that turn less often are stretched in full
};

// A number that the file does not state, and the one that is used in its place.
struct Assumed {
  std::string key;    // "qwen3moe.rope.freq_base"
  std::string value;  // "10000"
  std::string from;   // why that: "embedding_length / attention.head_count"
};

// The numbers that define a Qwen3-MoE model, from the metadata keys named beside them (<arch> is
// general.architecture). Keys with a default may be absent: docs/gguf.md lists all.
struct Config {
  std::string architecture;            // general.architecture: "qwen3moe"
  std::string name;                    // general.name; may be empty
  std::int32_t n_layers = 0;           // <arch>.block_count
  std::int32_t hidden_size = 0;        // <arch>.embedding_length
  std::int32_t n_heads = 0;            // <arch>.attention.head_count
  std::int32_t n_kv_heads = 0;         // <arch>.attention.head_count_kv; default: n_heads
  std::int32_t head_dim = 0;           // <arch>.attention.key_length; default: hidden_size / n_heads
  std::int32_t n_experts = 0;          // <arch>.expert_count
  std::int32_t experts_per_token = 0;  // <arch>.expert_used_count
  std::int32_t expert_ffn_size = 0;    // <arch>.expert_feed_forward_length; default: the tensors'
  std::int32_t vocab_size = 0;         // rows of token_embd.weight
  std::int32_t context_length = 0;     // <arch>.context_length
  float rms_norm_eps = 0;              // <arch>.attention.layer_norm_rms_epsilon
  double rope_theta = 0;               // <arch>.rope.freq_base; default: 10000
  RopeScaling rope_scaling;            // <arch>.rope.scaling.*

  std::vector<Assumed> assumed;       // of the keys above
  std::vector<std::string> warnings;  // a sentence each, for whoever runs the model

  std::int32_t q_size() const { return n_heads * head_dim; }
  std::int32_t kv_size() const { return n_kv_heads * head_dim; }
};

// Errors: unsupported (another architecture or rope scaling, naming what is supported), model_load (a key
// that is absent, of the wrong kind or impossible, naming key, expected and actual).
Result<Config> read_config(const gguf::File& file);

}  // namespace trine::model
