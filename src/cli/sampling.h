#pragma once

#include "sampling/sampler.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
}

namespace trine::cli {

// What the flags say; the file of the model says the rest.
struct SamplingOptions {
  std::optional<float> temperature;
  std::optional<std::int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repeat_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  std::optional<std::uint64_t> seed;

  // `file`'s parameters with those of the flags in their place, and with a seed: the one asked for, or a
  // random one to be reported.
  sampling::SamplingParams over(const sampling::SamplingParams& file) const;
  // Those of the keys general.sampling.* in whose place no flag stands.
  std::vector<std::string> left_of(std::vector<std::string> keys) const;
};

// Every parameter by its flag's name, but for bias and seed.
nlohmann::ordered_json sampling_json(const sampling::SamplingParams& params);

// --temperature, --top-k, --top-p, --min-p, --repeat-penalty, --presence-penalty, --frequency-penalty,
// --logit-bias,
// --seed. Ranges are checked here; what depends on the vocabulary is left to sampling::validate.
void add_sampling_options(CLI::App& app, SamplingOptions& options);

}  // namespace trine::cli
