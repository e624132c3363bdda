#include "model/rope_config.h"

#include <fmt/format.h>
#include <cmath>

namespace trine::model {
namespace {

Result<RopeScaling::Kind> read_scaling_kind(const Keys& keys) {
  constexpr std::string_view suffix = "rope.scaling.type";
  // As llama.cpp does: a factor without a type means linear.
  if (!keys.has(suffix)) {
    const bool has_factor = keys.has("rope.scaling.factor") || keys.has("rope.scale_linear");
    return has_factor ? RopeScaling::Kind::linear : RopeScaling::Kind::none;
  }
  const auto type = keys.file().metadata().get_string(keys.full(suffix));
  if (!type)
    return keys.refuse(ErrorCode::model_load, "metadata key has the wrong kind of value", suffix, "string",
                       kind_of(*keys.find(suffix)));
  if (*type == "none") return RopeScaling::Kind::none;
  if (*type == "linear") return RopeScaling::Kind::linear;
  if (*type == "yarn") return RopeScaling::Kind::yarn;
  return keys.refuse(ErrorCode::unsupported, "rope scaling is not supported", suffix, "none, linear or yarn",
                     gguf::quote(*type));
}

// 0 stands for none, as llama.cpp reads it; so does leaving it out, but for yarn, which means nothing
// without.
Result<double> read_factor(const Keys& keys, RopeScaling::Kind kind) {
  constexpr std::string_view suffix = "rope.scaling.factor";
  constexpr std::string_view obsolete = "rope.scale_linear";
  const std::string_view used = !keys.has(suffix) && keys.has(obsolete) ? obsolete : suffix;
  if (kind == RopeScaling::Kind::linear && (!keys.has(used) || keys.find_number(used) == 0)) return 1;
  return keys.number(used, 1, 1e6);
}

// How much of the original frequencies yarn mixes in: 1, and other engines do not look at the key for this
// architecture. -1 is llama.cpp's word for "not stated".
Result<void> check_extrapolation(const Keys& keys, RopeScaling::Kind kind) {
  constexpr std::string_view suffix = "rope.scaling.yarn_ext_factor";
  if (!keys.has(suffix)) return {};
  const double neutral = kind == RopeScaling::Kind::yarn ? 1 : 0;
  const auto number = keys.find_number(suffix);
  if (number && (*number == neutral || *number == -1)) return {};
  return keys.refuse(ErrorCode::unsupported, "yarn with its own extrapolation factor is not supported",
                     suffix, fmt::format("{}, or no such key", neutral), keys.text(suffix));
}

// Converters copy Hugging Face's attention_factor here, which replaces the formula, while llama.cpp does not
// look at it for this architecture, and writes 1 where it saves a model again. So the readings agree on the
// formula's own value, and 1 beside yarn is taken for what was saved again.
Result<void> check_attention_factor(const Keys& keys, const RopeScaling& scaling,
                                    std::vector<std::string>& warnings) {
  constexpr std::string_view suffix = "rope.scaling.yarn_attn_factor";
  if (!keys.has(suffix)) return {};
  const double formula =
      scaling.kind == RopeScaling::Kind::yarn ? yarn_attention_factor(scaling.factor) : 1.0;
  const auto number = keys.find_number(suffix);
  if (number && (*number == -1 || std::abs(*number - formula) <= 1e-5 * formula)) return {};
  if (number && *number == 1) {
    warnings.push_back(
        fmt::format("{} is 1, which tools write that save a model again: yarn's own factor, {:.4f}, is used "
                    "as by llama.cpp",
                    keys.full(suffix), formula));
    return {};
  }
  return keys.refuse(ErrorCode::unsupported, "yarn with its own attention factor is not supported", suffix,
                     fmt::format("{:.4f}, or no such key", formula), keys.text(suffix));
}

Result<void> read_yarn(const Keys& keys, std::int32_t context_length, RopeScaling& scaling) {
  constexpr std::string_view original = "rope.scaling.original_context_length";
  scaling.original_context_length = context_length;
  if (keys.has(original) && keys.find_number(original) != 0) {
    TRINE_TRY(scaling.original_context_length, keys.count(original, max_context));
  }
  TRINE_TRY(scaling.beta_fast, keys.number_or("rope.scaling.yarn_beta_fast", 1e-6, 1e6, 32.0));
  TRINE_TRY(scaling.beta_slow, keys.number_or("rope.scaling.yarn_beta_slow", 1e-6, 1e6, 1.0));
  if (scaling.beta_slow > scaling.beta_fast)
    return keys.impossible("rope.scaling.yarn_beta_slow",
                           fmt::format("at most yarn_beta_fast, {}", scaling.beta_fast),
                           fmt::format("{}", scaling.beta_slow));
  return {};
}

}  // namespace

double yarn_attention_factor(double factor) {
  return 0.1 * std::log(factor) + 1.0;
}

Result<RopeScaling> read_rope_scaling(const Keys& keys, std::int32_t context_length,
                                      std::vector<std::string>& warnings) {
  RopeScaling scaling;
  TRINE_TRY(scaling.kind, read_scaling_kind(keys));
  if (scaling.kind != RopeScaling::Kind::none) {
    TRINE_TRY(scaling.factor, read_factor(keys, scaling.kind));
  }
  if (scaling.kind == RopeScaling::Kind::yarn) TRINE_CHECK_OK(read_yarn(keys, context_length, scaling));
  TRINE_CHECK_OK(check_extrapolation(keys, scaling.kind));
  TRINE_CHECK_OK(check_attention_factor(keys, scaling, warnings));
  // llama.cpp multiplies by it whatever the type.
  TRINE_TRY(scaling.attention_factor, keys.number_or("rope.scaling.attn_factor", 1e-6, 1e6, 1.0));
  if (scaling.kind == RopeScaling::Kind::yarn)
    scaling.attention_factor *= yarn_attention_factor(scaling.factor);
  return scaling;
}

}  // namespace trine::model
