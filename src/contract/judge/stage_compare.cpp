#include "contract/judge/stage_compare.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>

namespace trine::contract {
namespace {

using model::Stage;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// The largest value and the logarithm of Σ exp(x − largest).
struct Normaliser {
  double largest = 0;
  double log_sum = 0;
};

Normaliser normaliser(std::span<const float> logits) {
  Normaliser result{-std::numeric_limits<double>::infinity(), 0};
  for (const float x : logits) result.largest = std::max(result.largest, static_cast<double>(x));
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - result.largest);
  result.log_sum = std::log(sum);
  return result;
}

bool comparable(std::span<const float> a, std::span<const float> e) {
  const auto finite = [](float x) { return std::isfinite(x); };
  return a.size() == e.size() && !a.empty() && std::all_of(a.begin(), a.end(), finite) &&
         std::all_of(e.begin(), e.end(), finite);
}

}  // namespace

Similarity compare(std::span<const float> actual, std::span<const float> expected) {
  if (!comparable(actual, expected)) return {nan, nan};
  double dot = 0, aa = 0, ee = 0, dd = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double a = actual[i], e = expected[i];
    dot += a * e;
    aa += a * a;
    ee += e * e;
    dd += (a - e) * (a - e);
  }
  if (aa == 0 && ee == 0) return {1, 0};
  // Rounding alone leads past 1.
  const double cosine = aa == 0 || ee == 0 ? 0 : std::clamp(dot / (std::sqrt(aa) * std::sqrt(ee)), -1.0, 1.0);
  const double relative = ee == 0 ? std::numeric_limits<double>::infinity() : std::sqrt(dd / ee);
  return {cosine, relative};
}

double kl_divergence(std::span<const float> actual, std::span<const float> expected) {
  if (!comparable(actual, expected)) return nan;
  const Normaliser a = normaliser(actual), e = normaliser(expected);
  double sum = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double log_a = actual[i] - a.largest - a.log_sum;
    const double log_e = expected[i] - e.largest - e.log_sum;
    sum += std::exp(log_e) * (log_e - log_a);
  }
  return sum < 0 ? 0 : sum;  // by rounding; NaN stays
}

double largest_difference(std::span<const float> actual, std::span<const float> expected) {
  if (!comparable(actual, expected)) return nan;
  double largest = 0;
  for (std::size_t i = 0; i < actual.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(actual[i]) - expected[i]));
  return largest;
}

std::int32_t argmax(std::span<const float> values) {
  if (std::any_of(values.begin(), values.end(), [](float x) { return std::isnan(x); })) return -1;
  if (values.empty()) return -1;
  return static_cast<std::int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

std::string place_text(Stage stage, int layer) {
  if (layer < 0) return std::string(model::name_of(stage));
  return fmt::format("layer {}, {}", layer, model::name_of(stage));
}

std::int64_t stage_width(const model::Config& config, Stage stage) {
  switch (stage) {
    case Stage::qkv:
      return config.q_size() + 2 * std::int64_t{config.kv_size()};
    case Stage::qk_norm_rope:
      return config.q_size() + std::int64_t{config.kv_size()};
    case Stage::attention:
      return config.q_size();
    case Stage::router_logits:
      return config.n_experts;
    case Stage::expert_ids:
    case Stage::expert_weights:
      return config.experts_per_token;
    case Stage::expert_act:
      return std::int64_t{config.experts_per_token} * config.expert_ffn_size;
    case Stage::logits:
      return config.vocab_size;
    case Stage::embed:
    case Stage::attn_norm:
    case Stage::attn_out:
    case Stage::ffn_norm:
    case Stage::moe_out:
    case Stage::layer_out:
    case Stage::final_norm:
      break;
  }
  return config.hidden_size;
}

Slots::Slots(const model::Config& config) {
  slots_.push_back({Stage::embed, -1});
  for (int layer = 0; layer < config.n_layers; ++layer)
    for (int stage = 0; stage < model::stage_count; ++stage)
      if (model::is_per_layer(static_cast<Stage>(stage)))
        slots_.push_back({static_cast<Stage>(stage), layer});
  slots_.push_back({Stage::final_norm, -1});
  for (const Slot& slot : slots_) widths_.push_back(stage_width(config, slot.stage));
}

std::size_t Slots::index_of(Stage stage, int layer) const {
  constexpr auto first = static_cast<int>(Stage::attn_norm);
  constexpr int per_layer = static_cast<int>(Stage::layer_out) - first + 1;
  const int layers = (static_cast<int>(slots_.size()) - 2) / per_layer;
  if (stage == Stage::embed && layer == -1) return 0;
  if (stage == Stage::final_norm && layer == -1) return slots_.size() - 1;
  if (!model::is_per_layer(stage) || layer < 0 || layer >= layers) return slots_.size();
  return static_cast<std::size_t>(1 + layer * per_layer + static_cast<int>(stage) - first);
}

std::uint64_t Slots::row_bytes() const {
  std::uint64_t floats = 0;
  for (const std::int64_t width : widths_) floats += static_cast<std::uint64_t>(width);
  return floats * sizeof(float);
}

}  // namespace trine::contract
