#include "model/weights.h"

#include "base/check.h"

#include <fmt/format.h>
#include <algorithm>
#include <set>
#include <string_view>

namespace trine::model {
namespace {

using L = LayerWeights;

constexpr TensorRule rules[] = {
    {"embed", "token_embd.weight", "V H", false, true, nullptr, &Weights::embed},
    {"output_norm", "output_norm.weight", "H", true, true, nullptr, &Weights::output_norm},
    {"output", "output.weight", "V H", false, false, nullptr, &Weights::output},
    {"attn_norm", "blk.{}.attn_norm.weight", "H", true, true, &L::attn_norm, nullptr},
    {"attn_q", "blk.{}.attn_q.weight", "Q H", false, true, &L::attn_q, nullptr},
    {"attn_k", "blk.{}.attn_k.weight", "K H", false, true, &L::attn_k, nullptr},
    {"attn_v", "blk.{}.attn_v.weight", "K H", false, true, &L::attn_v, nullptr},
    {"attn_q_norm", "blk.{}.attn_q_norm.weight", "D", true, true, &L::attn_q_norm, nullptr},
    {"attn_k_norm", "blk.{}.attn_k_norm.weight", "D", true, true, &L::attn_k_norm, nullptr},
    {"attn_output", "blk.{}.attn_output.weight", "H Q", false, true, &L::attn_output, nullptr},
    {"ffn_norm", "blk.{}.ffn_norm.weight", "H", true, true, &L::ffn_norm, nullptr},
    {"router", "blk.{}.ffn_gate_inp.weight", "E H", true, true, &L::router, nullptr},
    {"expert_gate", "blk.{}.ffn_gate_exps.weight", "E F H", false, true, &L::expert_gate, nullptr},
    {"expert_up", "blk.{}.ffn_up_exps.weight", "E F H", false, true, &L::expert_up, nullptr},
    {"expert_down", "blk.{}.ffn_down_exps.weight", "E H F", false, true, &L::expert_down, nullptr},
};

std::int64_t size_of(char letter, const Config& config) {
  switch (letter) {
    case 'H':
      return config.hidden_size;
    case 'Q':
      return config.q_size();
    case 'K':
      return config.kv_size();
    case 'D':
      return config.head_dim;
    case 'E':
      return config.n_experts;
    case 'F':
      return config.expert_ffn_size;
    case 'V':
      return config.vocab_size;
    default:
      check(false, "a letter the tensor table does not define");
      return 0;
  }
}

// "E F H" as GGUF dimensions: innermost first.
std::vector<std::uint64_t> dims_of(const TensorRule& rule, const Config& config) {
  std::vector<std::uint64_t> dims;
  for (const char* letter = rule.shape; *letter != '\0'; ++letter) {
    if (*letter != ' ') dims.push_back(static_cast<std::uint64_t>(size_of(*letter, config)));
  }
  std::reverse(dims.begin(), dims.end());
  return dims;
}

// Writers differ in whether they store outer dimensions of 1.
std::vector<std::uint64_t> without_outer_ones(std::vector<std::uint64_t> dims) {
  while (dims.size() > 1 && dims.back() == 1) dims.pop_back();
  return dims;
}

std::string tensor_name(const TensorRule& rule, std::int32_t layer) {
  std::string name = rule.pattern;
  if (const std::size_t at = name.find("{}"); at != std::string::npos)
    name.replace(at, 2, std::to_string(layer));
  return name;
}

// Finds tensors by rule and remembers which were asked for.
class Loader {
 public:
  Loader(const gguf::File& file, const Config& config) : file_(file), config_(config) {}

  // A weight without a tensor when the file lacks one that is not required.
  Result<Weight> load(const TensorRule& rule, std::int32_t layer) {
    const std::string name = tensor_name(rule, layer);
    const gguf::TensorInfo* tensor = file_.find_tensor(name);
    const auto dims = dims_of(rule, config_);
    if (tensor == nullptr) {
      if (!rule.required) return Weight{};
      return refuse(ErrorCode::model_load, "tensor is missing", name,
                    fmt::format("{}", fmt::join(dims, " x ")), {});
    }
    used_.insert(name);
    if (without_outer_ones(tensor->dims) != without_outer_ones(dims))
      return refuse(ErrorCode::model_load, "tensor has the wrong shape", name,
                    fmt::format("{} (innermost first)", fmt::join(dims, " x ")),
                    fmt::format("{}", fmt::join(tensor->dims, " x ")));
    if (rule.f32_only && tensor->type != gguf::TensorType::F32)
      return refuse(ErrorCode::unsupported, "tensor type is not supported for norms and the router", name,
                    "F32", std::string(info(tensor->type).name));
    auto codec = quant::find_codec(tensor->type);
    if (!codec) {
      codec.error().where = where(name);
      return fail(std::move(codec).error());
    }
    return weight(*tensor, **codec, dims);
  }

  // A tensor nobody asked for belongs to a part of the model that would be left out: the answers would be
  // wrong.
  Result<void> refuse_unused() const {
    for (const gguf::TensorInfo& tensor : file_.tensors()) {
      if (used_.count(tensor.name) != 0) continue;
      Error error{
          .code = ErrorCode::unsupported,
          .what = "unexpected tensor",
          .where = where(tensor.name),
          .expected =
              fmt::format("only the tensors of {} with {} layers", config_.architecture, config_.n_layers),
          .actual = fmt::format("{} of type {}", fmt::join(tensor.dims, " x "), info(tensor.type).name),
          .hint = "Running without it would give wrong answers"};
      return fail(std::move(error));
    }
    return {};
  }

 private:
  std::string where(std::string_view name) const {
    return fmt::format("{}, tensor {}", file_.paths()[0], gguf::quote(name));
  }

  tl::unexpected<Error> refuse(ErrorCode code, std::string what, std::string_view name, std::string expected,
                               std::string actual) const {
    return fail({.code = code,
                 .what = std::move(what),
                 .where = where(name),
                 .expected = std::move(expected),
                 .actual = std::move(actual)});
  }

  static Weight weight(const gguf::TensorInfo& tensor, const quant::Codec& codec,
                       const std::vector<std::uint64_t>& dims) {
    Weight weight;
    weight.tensor = &tensor;
    weight.codec = &codec;
    weight.data = tensor.data.data();
    weight.columns = static_cast<std::int64_t>(dims[0]);
    weight.rows = dims.size() > 1 ? static_cast<std::int64_t>(dims[1]) : 1;
    weight.experts = dims.size() > 2 ? static_cast<std::int64_t>(dims[2]) : 1;
    weight.row_bytes = codec.row_bytes(dims[0]);
    check(weight.row_bytes * static_cast<std::uint64_t>(weight.rows * weight.experts) == tensor.bytes,
          "a codec and the type table disagree on a block's size");
    return weight;
  }

  const gguf::File& file_;
  const Config& config_;
  std::set<std::string, std::less<>> used_;
};

}  // namespace

std::span<const TensorRule> tensor_table() {
  return rules;
}

Result<Weights> load_weights(const gguf::File& file) {
  Weights weights;
  TRINE_TRY(weights.config, read_config(file));
  Loader loader(file, weights.config);
  for (const TensorRule& rule : rules) {
    if (rule.of_model == nullptr) continue;
    TRINE_TRY(weights.*rule.of_model, loader.load(rule, -1));
  }
  for (std::int32_t layer = 0; layer < weights.config.n_layers; ++layer) {
    LayerWeights layer_weights;
    for (const TensorRule& rule : rules) {
      if (rule.of_layer == nullptr) continue;
      TRINE_TRY(layer_weights.*rule.of_layer, loader.load(rule, layer));
    }
    weights.layers.push_back(layer_weights);
  }
  TRINE_CHECK_OK(loader.refuse_unused());
  weights.tied = weights.output.tensor == nullptr;
  if (weights.tied) weights.output = weights.embed;
  return weights;
}

}  // namespace trine::model
