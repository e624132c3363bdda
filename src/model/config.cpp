#include "model/config.h"

#include <fmt/format.h>
#include <cmath>
#include <optional>
#include <string_view>

namespace trine::model {
namespace {

using gguf::Value;

constexpr std::string_view supported_architecture = "qwen3moe";

// Far above any real model, and low enough that no product of two of them overflows. Token and expert ids
// pass through traces as floats, which are exact up to 2^24.
constexpr std::int64_t max_layers = 4096;
constexpr std::int64_t max_heads = 4096;
constexpr std::int64_t max_head_dim = 4096;
constexpr std::int64_t max_experts = 65536;
constexpr std::int64_t max_width = 1 << 20;
constexpr std::int64_t max_vocab = 1 << 24;
constexpr std::int64_t max_context = 1 << 30;

// Keys of other models' features. A file may carry one at its neutral value; any other value means a model
// that this code would compute wrongly.
struct ForeignKey {
  std::string_view suffix;
  double neutral;
  std::string_view feature;
};
constexpr ForeignKey foreign_keys[] = {
    {"attention.sliding_window", 0, "sliding-window attention"},
    {"attention.sliding_window_pattern", 0, "sliding-window attention"},
    {"attention.shared_kv_layers", 0, "layers that share keys and values"},
    {"attention.scale", 0, "another attention scale"},
    {"attention.output_scale", 0, "scaled attention output"},
    {"attention.temperature_scale", 0, "attention temperature"},
    {"attention.temperature_length", 0, "attention temperature"},
    {"attention.clamp_kqv", 0, "clamped queries and keys"},
    {"attention.max_alibi_bias", 0, "ALiBi positions"},
    {"attention.causal", 1, "attention that is not causal"},
    {"attn_logit_softcapping", 0, "soft-capped attention"},
    {"router_logit_softcapping", 0, "a soft-capped router"},
    {"final_logit_softcapping", 0, "soft-capped logits"},
    {"logit_scale", 1, "scaled logits"},
    {"embedding_scale", 1, "scaled embeddings"},
    {"residual_scale", 1, "scaled residuals"},
    {"use_parallel_residual", 0, "parallel residuals"},
    {"pooling_type", 0, "pooled embeddings"},
    {"expert_shared_count", 0, "shared experts"},
    {"expert_shared_feed_forward_length", 0, "shared experts"},
    {"expert_weights_scale", 1, "scaled expert weights"},
    {"expert_weights_norm", 1, "expert weights that are not renormalised"},
    {"expert_gating_func", 1, "a router without softmax"},
    {"expert_group_count", 1, "expert groups"},
    {"expert_group_used_count", 1, "expert groups"},
    {"expert_group_scale", 1, "expert groups"},
    {"experts_per_group", 0, "expert groups"},
    {"moe_every_n_layers", 1, "dense layers"},
    {"interleave_moe_layer_step", 1, "dense layers"},
    {"leading_dense_block_count", 0, "dense layers"},
    {"nextn_predict_layers", 0, "next-token prediction layers"},
    {"swiglu_clamp_exp", 0, "clamped activations"},
    {"rope.dimension_sections", 0, "multi-part rotary embedding"},
    {"rope.scale_linear", 1, "rope scaling under its obsolete key"},
    {"rope.scaling.alpha", 0, "rope scaling by alpha"},
    {"rope.scaling.yarn_log_multiplier", 0, "yarn with its own log multiplier"},
};

std::optional<double> as_number(const Value& value) {
  if (const auto* number = std::get_if<double>(&value.data)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(&value.data)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<std::int64_t>(&value.data)) return static_cast<double>(*number);
  if (const auto* flag = std::get_if<bool>(&value.data)) return *flag ? 1 : 0;
  return std::nullopt;
}

// Reads the keys of one architecture; every error names the file and the key.
class Keys {
 public:
  Keys(const gguf::File& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  std::string full(std::string_view suffix) const { return fmt::format("{}.{}", architecture_, suffix); }
  const Value* find(std::string_view suffix) const { return file_.metadata().find(full(suffix)); }

  tl::unexpected<Error> refuse(ErrorCode code, std::string what, std::string_view suffix,
                               std::string expected, std::string actual) const {
    return fail({.code = code,
                 .what = std::move(what),
                 .where = fmt::format("{}, key '{}'", file_.paths()[0], full(suffix)),
                 .expected = std::move(expected),
                 .actual = std::move(actual)});
  }
  tl::unexpected<Error> impossible(std::string_view suffix, std::string expected, std::string actual) const {
    return refuse(ErrorCode::model_load, "impossible value", suffix, std::move(expected), std::move(actual));
  }

  // An integer from 1 to `max`.
  Result<std::int32_t> count(std::string_view suffix, std::int64_t max) const {
    TRINE_CHECK_OK(scalar(suffix));
    auto value = located(file_.metadata().get_uint(full(suffix)));
    if (!value) return fail(std::move(value).error());
    if (*value >= 1 && *value <= static_cast<std::uint64_t>(max)) return static_cast<std::int32_t>(*value);
    return impossible(suffix, fmt::format("1 to {}", max), fmt::format("{}", *value));
  }

  // A finite number from `low` to `high`.
  Result<double> number(std::string_view suffix, double low, double high) const {
    TRINE_CHECK_OK(scalar(suffix));
    auto value = located(file_.metadata().get_float(full(suffix)));
    if (!value) return fail(std::move(value).error());
    if (*value >= low && *value <= high) return *value;  // false for NaN
    return impossible(suffix, fmt::format("{} to {}", low, high), fmt::format("{}", *value));
  }
  Result<double> number_or(std::string_view suffix, double low, double high, double absent) const {
    if (find(suffix) == nullptr) return absent;
    return number(suffix, low, high);
  }

 private:
  // Some converters write one value per layer as an array; this model has the same in every layer.
  Result<void> scalar(std::string_view suffix) const {
    const Value* value = find(suffix);
    if (value == nullptr || value->type != gguf::ValueType::array) return {};
    return refuse(ErrorCode::unsupported, "values that differ by layer are not supported", suffix,
                  "one number", kind_of(*value));
  }

  template <typename T>
  Result<T> located(Result<T> result) const {
    if (!result) result.error().where = fmt::format("{}, key '{}'", file_.paths()[0], result.error().where);
    return result;
  }

  const gguf::File& file_;
  std::string architecture_;
};

Result<std::string> read_architecture(const gguf::File& file) {
  constexpr std::string_view key = "general.architecture";
  const auto name = file.metadata().get_string(key);
  const std::string where = fmt::format("{}, key '{}'", file.paths()[0], key);
  if (!name) {
    Error error = name.error();
    error.where = where;
    return fail(std::move(error));
  }
  if (*name == supported_architecture) return std::string(*name);
  return fail({.code = ErrorCode::unsupported,
               .what = "architecture is not supported",
               .where = where,
               .expected = std::string(supported_architecture),
               .actual = gguf::quote(*name),
               .hint = "Trine runs Qwen3-MoE models, for instance Qwen3-Coder-30B-A3B-Instruct"});
}

Result<void> refuse_foreign_keys(const Keys& keys) {
  for (const ForeignKey& foreign : foreign_keys) {
    const Value* value = keys.find(foreign.suffix);
    if (value == nullptr) continue;
    const auto number = as_number(*value);
    if (number && *number == foreign.neutral) continue;
    return keys.refuse(ErrorCode::unsupported, fmt::format("{} not supported", foreign.feature),
                       foreign.suffix, fmt::format("{}, or no such key", foreign.neutral),
                       number ? fmt::format("{}", *number) : kind_of(*value));
  }
  return {};
}

Result<RopeScaling::Kind> read_scaling_kind(const gguf::File& file, const Keys& keys) {
  constexpr std::string_view suffix = "rope.scaling.type";
  // As llama.cpp does: a factor without a type means linear.
  if (keys.find(suffix) == nullptr)
    return keys.find("rope.scaling.factor") == nullptr ? RopeScaling::Kind::none : RopeScaling::Kind::linear;
  const auto type = file.metadata().get_string(keys.full(suffix));
  if (!type)
    return keys.refuse(ErrorCode::model_load, "metadata key has the wrong kind of value", suffix, "string",
                       kind_of(*keys.find(suffix)));
  if (*type == "none") return RopeScaling::Kind::none;
  if (*type == "linear") return RopeScaling::Kind::linear;
  if (*type == "yarn") return RopeScaling::Kind::yarn;
  return keys.refuse(ErrorCode::unsupported, "rope scaling is not supported", suffix, "none, linear or yarn",
                     gguf::quote(*type));
}

// Keys as gguf-py writes them, meanings as llama.cpp gives them.
Result<RopeScaling> read_rope_scaling(const gguf::File& file, const Keys& keys, std::int32_t context_length) {
  RopeScaling scaling;
  TRINE_TRY(scaling.kind, read_scaling_kind(file, keys));
  if (scaling.kind == RopeScaling::Kind::none) return scaling;
  TRINE_TRY(scaling.factor, keys.number("rope.scaling.factor", 1, 1e6));
  if (scaling.kind == RopeScaling::Kind::linear) return scaling;

  // Converters copy Hugging Face's attention_factor here, which replaces the formula below, while llama.cpp
  // multiplies by it. No reading is right for every file.
  constexpr std::string_view ambiguous = "rope.scaling.yarn_attn_factor";
  if (keys.find(ambiguous) != nullptr)
    return keys.refuse(ErrorCode::unsupported, "yarn with its own attention factor is not supported",
                       ambiguous, "no such key", kind_of(*keys.find(ambiguous)));

  scaling.original_context_length = context_length;
  if (keys.find("rope.scaling.original_context_length") != nullptr) {
    TRINE_TRY(scaling.original_context_length,
              keys.count("rope.scaling.original_context_length", max_context));
  }
  TRINE_TRY(scaling.extrapolation_factor, keys.number_or("rope.scaling.yarn_ext_factor", 0, 1, 1.0));
  TRINE_TRY(scaling.beta_fast, keys.number_or("rope.scaling.yarn_beta_fast", 1e-6, 1e6, 32.0));
  TRINE_TRY(scaling.beta_slow, keys.number_or("rope.scaling.yarn_beta_slow", 1e-6, 1e6, 1.0));
  if (scaling.beta_slow > scaling.beta_fast)
    return keys.impossible("rope.scaling.yarn_beta_slow",
                           fmt::format("at most yarn_beta_fast, {}", scaling.beta_fast),
                           fmt::format("{}", scaling.beta_slow));
  TRINE_TRY(scaling.attention_factor, keys.number_or("rope.scaling.attn_factor", 1e-6, 1e6, 1.0));
  // Equation 22 of the YaRN paper; without extrapolation it is plain interpolation, which has no such factor.
  if (scaling.extrapolation_factor != 0) scaling.attention_factor *= 0.1 * std::log(scaling.factor) + 1.0;
  return scaling;
}

// The vocabulary is as large as the embedding; whatever else states its size must agree.
Result<std::int32_t> read_vocab_size(const gguf::File& file, const Keys& keys) {
  constexpr std::string_view tensor_name = "token_embd.weight";
  const gguf::TensorInfo* embed = file.find_tensor(tensor_name);
  const std::string where = fmt::format("{}, tensor '{}'", file.paths()[0], tensor_name);
  if (embed == nullptr)
    return fail({.code = ErrorCode::model_load, .what = "tensor is missing", .where = where});
  if (embed->dims.size() != 2 || embed->dims[1] > static_cast<std::uint64_t>(max_vocab))
    return fail({.code = ErrorCode::model_load,
                 .what = "tensor has an impossible shape",
                 .where = where,
                 .expected = fmt::format("hidden size x vocabulary (up to {})", max_vocab),
                 .actual = fmt::format("{}", fmt::join(embed->dims, " x "))});
  const auto rows = static_cast<std::int32_t>(embed->dims[1]);

  if (keys.find("vocab_size") != nullptr) {
    TRINE_TRY(const auto stated, keys.count("vocab_size", max_vocab));
    if (stated != rows)
      return keys.impossible("vocab_size", fmt::format("{}, the rows of {}", rows, tensor_name),
                             fmt::format("{}", stated));
  }
  constexpr std::string_view tokens_key = "tokenizer.ggml.tokens";
  if (file.metadata().find(tokens_key) == nullptr) return rows;
  auto tokens = file.metadata().get_strings(tokens_key);
  const std::string tokens_where = fmt::format("{}, key '{}'", file.paths()[0], tokens_key);
  if (!tokens) {
    tokens.error().where = tokens_where;
    return fail(std::move(tokens).error());
  }
  if ((*tokens)->size() == embed->dims[1]) return rows;
  return fail({.code = ErrorCode::model_load,
               .what = "the tokenizer and the embedding differ in size",
               .where = tokens_where,
               .expected = fmt::format("{} tokens, the rows of {}", rows, tensor_name),
               .actual = fmt::format("{} tokens", (*tokens)->size())});
}

Result<void> check_relations(const Keys& keys, const Config& config) {
  if (config.n_heads % config.n_kv_heads != 0)
    return keys.impossible("attention.head_count_kv", fmt::format("a divisor of {} heads", config.n_heads),
                           fmt::format("{}", config.n_kv_heads));
  if (config.head_dim % 2 != 0)
    return keys.impossible("attention.key_length", "an even number, for rotary pairs",
                           fmt::format("{}", config.head_dim));
  if (config.experts_per_token > config.n_experts)
    return keys.impossible("expert_used_count", fmt::format("at most {} experts", config.n_experts),
                           fmt::format("{}", config.experts_per_token));
  if (keys.find("attention.value_length") != nullptr) {
    TRINE_TRY(const auto value_length, keys.count("attention.value_length", max_head_dim));
    if (value_length != config.head_dim)
      return keys.refuse(ErrorCode::unsupported, "values of another size than keys are not supported",
                         "attention.value_length", fmt::format("{}, the key length", config.head_dim),
                         fmt::format("{}", value_length));
  }
  if (keys.find("rope.dimension_count") != nullptr) {
    TRINE_TRY(const auto rotated, keys.count("rope.dimension_count", max_head_dim));
    if (rotated != config.head_dim)
      return keys.refuse(ErrorCode::unsupported, "rotary embedding over a part of the head is not supported",
                         "rope.dimension_count", fmt::format("{}, the whole head", config.head_dim),
                         fmt::format("{}", rotated));
  }
  return {};
}

}  // namespace

Result<Config> read_config(const gguf::File& file) {
  Config config;
  TRINE_TRY(config.architecture, read_architecture(file));
  const Keys keys(file, config.architecture);
  if (const auto name = file.metadata().get_string("general.name")) config.name = std::string(*name);

  TRINE_TRY(config.n_layers, keys.count("block_count", max_layers));
  TRINE_TRY(config.hidden_size, keys.count("embedding_length", max_width));
  TRINE_TRY(config.n_heads, keys.count("attention.head_count", max_heads));
  TRINE_TRY(config.n_kv_heads, keys.count("attention.head_count_kv", max_heads));
  TRINE_TRY(config.head_dim, keys.count("attention.key_length", max_head_dim));
  TRINE_TRY(config.n_experts, keys.count("expert_count", max_experts));
  TRINE_TRY(config.experts_per_token, keys.count("expert_used_count", max_experts));
  TRINE_TRY(config.expert_ffn_size, keys.count("expert_feed_forward_length", max_width));
  TRINE_TRY(config.context_length, keys.count("context_length", max_context));
  TRINE_TRY(const double eps, keys.number("attention.layer_norm_rms_epsilon", 1e-12, 0.1));
  config.rms_norm_eps = static_cast<float>(eps);
  // Towards a base of 1 every pair turns alike and the yarn formulas divide by zero.
  TRINE_TRY(config.rope_theta, keys.number("rope.freq_base", 2, 1e15));
  TRINE_CHECK_OK(check_relations(keys, config));
  TRINE_CHECK_OK(refuse_foreign_keys(keys));
  TRINE_TRY(config.rope_scaling, read_rope_scaling(file, keys, config.context_length));
  TRINE_TRY(config.vocab_size, read_vocab_size(file, keys));
  return config;
}

}  // namespace trine::model
