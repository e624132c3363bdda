#include "model/weights.h"

#include "base/check.h"

#include <fmt/format.h>
#include <algorithm>
#include <iterator>
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

std::string layer_name(std::string name, std::int32_t layer) {
  if (const std::size_t at = name.find("{}"); at != std::string::npos)
    name.replace(at, 2, std::to_string(layer));
  return name;
}

// Finds tensors by rule and remembers which were asked for.
class Loader {
 public:
  Loader(const gguf::File& file, Weights& weights)
      : file_(file), weights_(weights), config_(weights.config) {}

  // A weight without a tensor when the file lacks one that is not required.
  Result<Weight> load(const TensorRule& rule, std::int32_t layer) {
    const std::string name = layer_name(rule.pattern, layer);
    const auto dims = dims_of(rule, config_);
    const gguf::TensorInfo* tensor = file_.find_tensor(name);
    if (tensor == nullptr) {
      if (!rule.required) return Weight{};
      if (const auto* fused = find_fused(rule, layer)) return part_of(*fused, rule, layer);
      return missing(rule, layer, dims);
    }
    // Its rows in the fused one would be read by nobody.
    if (const auto* fused = find_fused(rule, layer))
      return refuse(ErrorCode::unsupported, "the same weights are there twice", name, "one of the two",
                    fmt::format("{} beside it", layer_name(fused->pattern, layer)));
    TRINE_TRY(const Weight weight, whole(*tensor, dims));
    return rule.as_f32 && weight.codec->type != gguf::TensorType::F32 ? widened(weight) : weight;
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
                               std::string actual, std::string hint = {}) const {
    return fail({.code = code,
                 .what = std::move(what),
                 .where = where(name),
                 .expected = std::move(expected),
                 .actual = std::move(actual),
                 .hint = std::move(hint)});
  }

  tl::unexpected<Error> missing(const TensorRule& rule, std::int32_t layer,
                                const std::vector<std::uint64_t>& dims) const {
    // Until April 2024 converters wrote a tensor for each expert: blk.0.ffn_gate.0.weight.
    std::string one = layer_name(rule.pattern, layer);
    if (const std::size_t at = one.find("_exps."); at != std::string::npos) {
      one.replace(at, 6, ".0.");
      if (file_.find_tensor(one) != nullptr)
        return refuse(ErrorCode::unsupported, "the experts are stored one by one", one,
                      layer_name(rule.pattern, layer) + " with all experts of the layer", "a tensor for each",
                      "Convert the model again from its original: llama.cpp's convert_hf_to_gguf.py merges "
                      "the experts");
    }
    return refuse(ErrorCode::model_load, "tensor is missing", layer_name(rule.pattern, layer),
                  fmt::format("{}", fmt::join(dims, " x ")), {});
  }

  // The rule of a fused tensor that the file has in the place of this one.
  const FusedRule* find_fused(const TensorRule& rule, std::int32_t layer) const {
    for (const FusedRule& fused : fused_table()) {
      if (std::find(fused.parts.begin(), fused.parts.end(), rule.of_layer) == fused.parts.end()) continue;
      if (file_.find_tensor(layer_name(fused.pattern, layer)) != nullptr) return &fused;
    }
    return nullptr;
  }

  Result<Weight> part_of(const FusedRule& fused, const TensorRule& rule, std::int32_t layer) {
    std::vector<std::uint64_t> dims = dims_of(rule, config_);
    const std::uint64_t rows = dims[1];
    std::uint64_t before = 0;
    std::uint64_t all = 0;
    for (Weight LayerWeights::*part : fused.parts) {
      const auto* other = std::find_if(std::begin(rules), std::end(rules),
                                       [&](const TensorRule& one) { return one.of_layer == part; });
      if (part == rule.of_layer) before = all;
      all += dims_of(*other, config_)[1];
    }
    dims[1] = all;
    TRINE_TRY(Weight weight, whole(*file_.find_tensor(layer_name(fused.pattern, layer)), dims));
    weight.data += before * weight.row_bytes;
    weight.rows = static_cast<std::int64_t>(rows);
    return weight;
  }

  Result<Weight> whole(const gguf::TensorInfo& tensor, const std::vector<std::uint64_t>& dims) {
    used_.insert(tensor.name);
    if (without_outer_ones(tensor.dims) != without_outer_ones(dims))
      return refuse(ErrorCode::model_load, "tensor has the wrong shape", tensor.name,
                    fmt::format("{} (innermost first)", fmt::join(dims, " x ")),
                    fmt::format("{}", fmt::join(tensor.dims, " x ")));
    auto codec = quant::find_codec(tensor.type);
    if (!codec) {
      codec.error().where = where(tensor.name);
      return fail(std::move(codec).error());
    }
    Weight weight;
    weight.tensor = &tensor;
    weight.codec = *codec;
    weight.data = tensor.data.data();
    weight.columns = static_cast<std::int64_t>(dims[0]);
    weight.rows = dims.size() > 1 ? static_cast<std::int64_t>(dims[1]) : 1;
    weight.experts = dims.size() > 2 ? static_cast<std::int64_t>(dims[2]) : 1;
    weight.row_bytes = weight.codec->row_bytes(dims[0]);
    weight.expert_stride = weight.expert_bytes();
    check(weight.expert_stride * static_cast<std::uint64_t>(weight.experts) == tensor.bytes,
          "a codec and the type table disagree on a block's size");
    return weight;
  }

  // The same numbers in F32.
  Result<Weight> widened(Weight weight) {
    const auto columns = static_cast<std::uint64_t>(weight.columns);
    const auto made = std::make_shared<WidenedTensor>();
    made->values.resize(static_cast<std::uint64_t>(weight.rows) * columns);
    for (std::int64_t row = 0; row < weight.rows; ++row)
      weight.codec->decode_row(weight.row(row), columns,
                               &made->values[static_cast<std::uint64_t>(row) * columns]);
    made->tensor = *weight.tensor;
    made->tensor.type = gguf::TensorType::F32;
    made->tensor.bytes = made->values.size() * sizeof(float);
    made->tensor.data = std::as_bytes(std::span(made->values));
    TRINE_TRY(weight.codec, quant::find_codec(gguf::TensorType::F32));
    weight.tensor = &made->tensor;
    weight.data = made->tensor.data.data();
    weight.row_bytes = columns * sizeof(float);
    weight.expert_stride = weight.expert_bytes();
    weights_.widened.push_back(made);
    return weight;
  }

  const gguf::File& file_;
  Weights& weights_;
  const Config& config_;
  std::set<std::string, std::less<>> used_;
};

}  // namespace

std::span<const TensorRule> tensor_table() {
  return rules;
}

std::span<const FusedRule> fused_table() {
  // As gguf-py names them and llama.cpp reads them.
  static const FusedRule fused[] = {
      {"blk.{}.attn_qkv.weight", {&L::attn_q, &L::attn_k, &L::attn_v}},
      {"blk.{}.ffn_gate_up_exps.weight", {&L::expert_gate, &L::expert_up}},
  };
  return fused;
}

Result<Weights> load_weights(const gguf::File& file) {
  Weights weights;
  TRINE_TRY(weights.config, read_config(file));
  Loader loader(file, weights);
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
