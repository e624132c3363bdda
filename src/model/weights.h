#pragma once

#include "base/error.h"
#include "gguf/file.h"
#include "model/config.h"
#include "quant/codec.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace trine::model {

// A weight as the file holds it: `experts` matrices (1 for all but expert tensors) of `rows` × `columns`,
// row-major [out][in], still quantised. A norm is one row. Rows of one expert lie behind one another; from
// one expert to the next it may be further than that, where the tensor holds another weight as well.
struct Weight {
  const gguf::TensorInfo* tensor = nullptr;  // that it is, or is a part of
  const quant::Codec* codec = nullptr;
  const std::byte* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t experts = 1;
  std::uint64_t row_bytes = 0;
  std::uint64_t expert_stride = 0;  // bytes

  std::uint64_t expert_bytes() const { return static_cast<std::uint64_t>(rows) * row_bytes; }
  const std::byte* row(std::int64_t r, std::int64_t expert = 0) const {
    return data + static_cast<std::uint64_t>(expert) * expert_stride +
           static_cast<std::uint64_t>(r) * row_bytes;
  }
};

// Shapes: H hidden_size, Q n_heads·head_dim, K n_kv_heads·head_dim, D head_dim, E experts, F expert_ffn_size,
// V vocabulary.
struct LayerWeights {
  Weight attn_norm;    // [H] F32
  Weight attn_q;       // [Q][H]
  Weight attn_k;       // [K][H]
  Weight attn_v;       // [K][H]
  Weight attn_q_norm;  // [D] F32
  Weight attn_k_norm;  // [D] F32
  Weight attn_output;  // [H][Q]
  Weight ffn_norm;     // [H] F32
  Weight router;       // [E][H] F32
  Weight expert_gate;  // [E][F][H]
  Weight expert_up;    // [E][F][H]
  Weight expert_down;  // [E][H][F]
};

// A norm or a router that the file holds in another type, as the F32 that every backend takes it for. Its
// tensor is the file's but for type and place.
struct WidenedTensor {
  gguf::TensorInfo tensor;
  std::vector<float> values;
};

// The whole model, found by name in the file and checked: every name, shape and type. Points into `file`.
struct Weights {
  Config config;
  Weight embed;        // [V][H]
  Weight output_norm;  // [H] F32
  Weight output;       // [V][H]; the same tensor as `embed` when the file has no output.weight (tied)
  bool tied = false;
  std::vector<LayerWeights> layers;
  std::vector<std::shared_ptr<const WidenedTensor>> widened;  // what norms and routers above may point into
};

// Norms and routers of another type than F32 are widened, which is exact. Where a file holds attn_q, attn_k
// and attn_v in one tensor, or the experts' gate and up, the weights are its rows (fused_table()). Errors:
// those of read_config(); model_load (a tensor missing or misshapen, with expected and actual), unsupported
// (a type that has no codec, a tensor that would be ignored). `file` must outlive the result.
Result<Weights> load_weights(const gguf::File& file);

// One line of the tensor table, the single place that knows names, shapes and allowed types.
struct TensorRule {
  const char* role;
  const char* pattern;  // "{}" stands for the layer
  const char* shape;    // outermost first, in the letters above: "E F H"
  bool as_f32;          // norms and the router: used as F32, whatever type the file has
  bool required;
  Weight LayerWeights::*of_layer;  // where it goes: one of these two, the other is null
  Weight Weights::*of_model;
};
std::span<const TensorRule> tensor_table();

// A tensor in which some tools store several: their rows one after the other, in each expert. It stands for
// them where the file has none of them.
struct FusedRule {
  const char* pattern;
  std::vector<Weight LayerWeights::*> parts;  // in the order of their rows
};
std::span<const FusedRule> fused_table();

// Rotary embedding, shared by every backend so that no two differ: entry d of `frequencies` (head_dim / 2 of
// them) is the angle per position of the pair (d, d + head_dim/2); cos and sin are multiplied by `scale`.
struct RopeTable {
  std::vector<double> frequencies;
  double scale = 1.0;
};
RopeTable rope_table(const Config& config);

}  // namespace trine::model
