#pragma once

#include "base/error.h"

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace trine::engine {

// How the next token is chosen. Defaults are "off"; the order of application is penalties, logit bias, temperature,
// top-k, top-p, min-p, then a draw.
struct SamplingParams {
  float temperature = 0.7f;        // 0: greedy
  std::int32_t top_k = 0;          // 0: off; 1: greedy
  float top_p = 1.0f;              // smallest set whose probability reaches this
  float min_p = 0.0f;              // drop what is below this share of the best
  float repeat_penalty = 1.0f;     // divides positive, multiplies negative logits of tokens seen (CTRL, Keskar 2019)
  float presence_penalty = 0.0f;   // subtracted once from every token generated so far (OpenAI)
  float frequency_penalty = 0.0f;  // subtracted once per occurrence
  std::int32_t penalty_window = 64;  // repeat penalty looks at this many last tokens, prompt included; -1: all
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  std::uint64_t seed = 0;
};

// Errors: usage, naming the parameter, its range and the value (NaN included).
Result<void> validate(const SamplingParams& params, std::int32_t vocab_size);

// Draws tokens for one sequence. The n-th draw depends only on (seed, n, logits), by a counter-based generator, so a
// seeded run repeats whatever else the process does.
class Sampler {
 public:
  explicit Sampler(SamplingParams params);

  // Notes prompt tokens for the repeat penalty.
  void accept_prompt(std::span<const std::int32_t> tokens);
  // Chooses from `logits` ([vocab_size]) and remembers the choice. Greedy ties go to the lower id.
  // Errors: inference when a logit is NaN or none is finite.
  Result<std::int32_t> sample(std::span<const float> logits);

 private:
  SamplingParams params_;
  std::vector<std::int32_t> history_;  // prompt and generated
  std::size_t prompt_length_ = 0;
  std::uint64_t draws_ = 0;
  std::vector<float> scratch_;
  std::vector<std::int32_t> order_;
};

}  // namespace trine::engine
