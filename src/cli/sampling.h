#pragma once

#include "sampling/sampler.h"

#include <cstdint>
#include <optional>

namespace CLI {
class App;
}

namespace trine::cli {

struct SamplingOptions {
  sampling::SamplingParams params;
  std::optional<std::uint64_t> seed;

  // The parameters with a seed: the one asked for, or a random one to be reported.
  sampling::SamplingParams seeded() const;
};

// --temperature, --top-k, --top-p, --min-p, --repeat-penalty, --presence-penalty, --frequency-penalty,
// --logit-bias,
// --seed. Ranges are checked here; what depends on the vocabulary is left to sampling::validate.
void add_sampling_options(CLI::App& app, SamplingOptions& options);

}  // namespace trine::cli
