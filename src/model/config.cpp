#include "model/config.h"

#include "model/keys.h"
#include "model/rope_config.h"

#include <fmt/format.h>
#include <optional>
#include <string_view>

namespace trine::model {
namespace {

constexpr std::string_view supported_architecture = "qwen3moe";

// Far above any real model, and low enough that no product of two of them overflows. Token and expert ids
// pass through traces as floats, which are exact up to 2^24.
constexpr std::int64_t max_layers = 4096;
constexpr std::int64_t max_heads = 4096;
constexpr std::int64_t max_head_dim = 4096;
constexpr std::int64_t max_experts = 65536;
constexpr std::int64_t max_width = 1 << 20;
constexpr std::int64_t max_vocab = 1 << 24;

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

// Reads what a file may leave out, and notes what is taken then.
class Defaults {
 public:
  Defaults(const Keys& keys, Config& config) : keys_(keys), config_(config) {}

  // `otherwise`: 1 to `max`, or 0 for none to be had, which makes the key a missing one. 0 in the file says
  // no more than no key does.
  Result<std::int32_t> count(std::string_view suffix, std::int64_t max, std::int64_t otherwise,
                             std::string_view from) {
    const bool is_stated = keys_.has(suffix) && keys_.find_number(suffix) != 0;
    if (is_stated || otherwise < 1 || otherwise > max) return keys_.count(suffix, max);
    assume(suffix, fmt::format("{}", otherwise), from);
    return static_cast<std::int32_t>(otherwise);
  }

  void assume(std::string_view suffix, std::string value, std::string_view from) {
    config_.assumed.push_back({keys_.full(suffix), std::move(value), std::string(from)});
  }

 private:
  const Keys& keys_;
  Config& config_;
};

// The width of an expert by the tensors of the first layer; 0 when they do not tell.
std::int64_t expert_width(const gguf::File& file) {
  struct Place {
    std::string_view tensor;
    std::size_t dim;
    std::uint64_t parts;  // of that dimension
  };
  constexpr Place places[] = {{"blk.0.ffn_gate_exps.weight", 1, 1},
                              {"blk.0.ffn_gate_up_exps.weight", 1, 2},
                              {"blk.0.ffn_down_exps.weight", 0, 1}};
  for (const Place& place : places) {
    const gguf::TensorInfo* tensor = file.find_tensor(place.tensor);
    if (tensor == nullptr || tensor->dims.size() <= place.dim) continue;
    const std::uint64_t width = tensor->dims[place.dim] / place.parts;
    return width <= max_width ? static_cast<std::int64_t>(width) : 0;
  }
  return 0;
}

// Hugging Face's Qwen3MoeConfig and llama.cpp take 10000 where none is stated, so a converter may have left
// that one out. Every published model of this family states another, so a file that lost its own is likelier;
// it would answer fluently and wrongly, which is why this is said aloud.
Result<double> read_rope_theta(const Keys& keys, Defaults& defaults, std::vector<std::string>& warnings) {
  constexpr std::string_view suffix = "rope.freq_base";
  // Towards a base of 1 every pair turns alike and the yarn formulas divide by zero.
  if (keys.has(suffix)) return keys.number(suffix, 2, 1e15);
  constexpr double usual = 10000;
  defaults.assume(suffix, fmt::format("{}", usual), "what transformers and llama.cpp take");
  warnings.push_back(fmt::format(
      "the file does not state {}: {} is used; if the original model has another, convert it again",
      keys.full(suffix), usual));
  return usual;
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
  Defaults defaults(keys, config);
  TRINE_TRY(config.n_kv_heads,
            defaults.count("attention.head_count_kv", max_heads, config.n_heads, "attention.head_count"));
  const bool divides = config.hidden_size % config.n_heads == 0;
  TRINE_TRY(config.head_dim, defaults.count("attention.key_length", max_head_dim,
                                            divides ? config.hidden_size / config.n_heads : 0,
                                            "embedding_length / attention.head_count"));
  if (!keys.has("attention.value_length"))
    defaults.assume("attention.value_length", fmt::format("{}", config.head_dim), "attention.key_length");
  TRINE_TRY(config.n_experts, keys.count("expert_count", max_experts));
  TRINE_TRY(config.experts_per_token, keys.count("expert_used_count", max_experts));
  TRINE_TRY(config.expert_ffn_size, defaults.count("expert_feed_forward_length", max_width,
                                                   expert_width(file), "the experts' tensors"));
  TRINE_TRY(config.context_length, keys.count("context_length", max_context));
  TRINE_TRY(const double eps, keys.number("attention.layer_norm_rms_epsilon", 1e-12, 0.1));
  config.rms_norm_eps = static_cast<float>(eps);
  TRINE_TRY(config.rope_theta, read_rope_theta(keys, defaults, config.warnings));
  TRINE_CHECK_OK(check_relations(keys, config));
  TRINE_CHECK_OK(refuse_foreign_keys(keys));
  TRINE_TRY(config.rope_scaling, read_rope_scaling(keys, config.context_length, config.warnings));
  TRINE_TRY(config.vocab_size, read_vocab_size(file, keys));
  return config;
}

}  // namespace trine::model
