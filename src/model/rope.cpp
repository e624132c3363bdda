#include "model/weights.h"

#include "base/check.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace trine::model {
namespace {

// The pair whose wavelength makes `rotations` turns over the original context (YaRN, section 3.2, solved for
// d).
double pair_with_rotations(const Config& config, double rotations) {
  const double context = static_cast<double>(config.rope_scaling.original_context_length);
  return config.head_dim * std::log(context / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(config.rope_theta));
}

}  // namespace

RopeTable rope_table(const Config& config) {
  check(config.head_dim > 0 && config.head_dim % 2 == 0, "rope_table: the head dimension must be even");
  const RopeScaling& scaling = config.rope_scaling;
  const bool yarn = scaling.kind == RopeScaling::Kind::yarn;

  // Pairs up to `low` keep their frequency, pairs from `high` are stretched in full, with a ramp between.
  // Rounding and clamping are those of Hugging Face's _compute_yarn_parameters and of
  // ggml_rope_yarn_corr_dims.
  double low = 0;
  double high = 0;
  if (yarn) {
    low = std::max(0.0, std::floor(pair_with_rotations(config, scaling.beta_fast)));
    high = std::min(config.head_dim - 1.0, std::ceil(pair_with_rotations(config, scaling.beta_slow)));
  }
  const double width = std::max(0.001, high - low);

  RopeTable table;
  table.scale = scaling.attention_factor;
  table.frequencies.resize(static_cast<std::size_t>(config.head_dim / 2));
  for (std::size_t d = 0; d < table.frequencies.size(); ++d) {
    const auto pair = static_cast<double>(d);
    const double frequency = std::pow(config.rope_theta, -2 * pair / config.head_dim);
    double kept = 0;  // share of the unstretched frequency
    if (scaling.kind == RopeScaling::Kind::none) kept = 1;
    if (yarn) kept = 1 - std::clamp((pair - low) / width, 0.0, 1.0);
    table.frequencies[d] = frequency * kept + frequency / scaling.factor * (1 - kept);
  }
  return table;
}

}  // namespace trine::model
