#pragma once

#include "base/error.h"

#include <cstdint>
#include <deque>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trine::sampling {

// How the next token is chosen. Defaults are "off"; the order of application is penalties, logit bias,
// mask of allowed tokens, temperature, top-k, top-p, min-p, then a draw. Each filter sees what the one before
// it left, renormalised.
struct SamplingParams {
  float temperature = 0.7f;  // 0: greedy
  std::int32_t top_k = 0;    // 0: off; 1: greedy
  float top_p = 1.0f;        // smallest set whose probability reaches this
  float min_p = 0.0f;        // drop what is below this share of the best
  float repeat_penalty =
      1.0f;  // divides positive, multiplies negative logits of tokens seen (CTRL, Keskar 2019)
  float presence_penalty = 0.0f;   // subtracted once from every token generated so far (OpenAI)
  float frequency_penalty = 0.0f;  // subtracted once per occurrence
  std::int32_t penalty_window =
      64;  // repeat penalty looks at this many last tokens, prompt included; -1: all
  std::vector<std::pair<std::int32_t, float>> logit_bias = {};  // added; a token named twice gets both
  std::uint64_t seed = 0;
};

// Errors: usage, with the parameter as its place, its range and the value (NaN included).
Result<void> validate(const SamplingParams& params, std::int32_t vocab_size);

// Draws tokens for one sequence. The n-th draw depends only on (seed, n, logits), by a counter-based
// generator, so a seeded run repeats whatever else the process does.
//
// The draw: with u = uniform_at(seed, n) and w_i = exp((logit_i - max) / temperature) of the tokens that are
// left, the lowest id whose running sum of w, in id order, exceeds u · sum(w). Among tokens of equal logit
// (top-k) or equal w (top-p), filters keep the lower ids.
class Sampler {
 public:
  // Expects parameters that validate() accepts; tokens outside the vocabulary are left out of penalties and
  // bias.
  explicit Sampler(SamplingParams params);

  // Notes prompt tokens for the repeat penalty.
  void accept_prompt(std::span<const std::int32_t> tokens);
  // Notes tokens that were chosen for this sequence before, each of which took a draw.
  void accept_chosen(std::span<const std::int32_t> tokens);
  // Tokens that may be chosen from now on: bit t % 32 of word t / 32 for token t; none: all. What is not
  // allowed has a logit of -infinity, whatever its bias.
  void allow(std::vector<std::uint32_t> allowed) { allowed_ = std::move(allowed); }
  // Chooses from `logits` ([vocab_size]) and remembers the choice. Greedy ties go to the lower id.
  // -infinity excludes a token. Errors: inference when a logit is NaN or +infinity, or none is finite.
  Result<std::int32_t> sample(std::span<const float> logits);
  // The tokens that sample() would choose next, were its sums off by up to `share` of the whole: what a
  // device with other arithmetic may choose. Errors: as sample().
  Result<std::set<std::int32_t>> possible(std::span<const float> logits, double share);
  // What the penalties know: for devices that keep the same.
  const std::unordered_map<std::int32_t, std::int32_t>& seen() const { return seen_; }
  const std::unordered_map<std::int32_t, std::int32_t>& generated() const { return generated_; }
  const std::deque<std::int32_t>& window() const { return window_; }
  const std::unordered_map<std::int32_t, float>& bias() const { return bias_; }
  // Tokens chosen so far, which numbers the next draw.
  std::uint64_t draws() const { return draws_; }

 private:
  std::span<const float> adjust(std::span<const float> logits);
  struct Best {
    std::int32_t id = 0;
    float logit = 0;
  };
  static Result<Best> best_of(std::span<const float> logits);
  bool is_greedy() const { return params_.temperature == 0 || params_.top_k == 1; }
  // Leaves in ids_ and weights_ what the filters keep, and returns the sum of its weights.
  double filter(std::span<const float> logits, float best, double top_p, float min_p);
  // Of the first candidate at which the running sum of weights exceeds `target`; the last one if none does.
  std::size_t place_of(double target) const;
  void note_seen(std::int32_t token);
  void note_chosen(std::int32_t token);
  // Subtracted from the logit of a token that was generated so often.
  float penalty_of(std::int32_t count) const;

  SamplingParams params_;
  std::uint64_t draws_ = 0;
  std::unordered_map<std::int32_t, std::int32_t> generated_;  // occurrences, for presence and frequency
  std::unordered_map<std::int32_t, std::int32_t> seen_;  // occurrences in the window, for the repeat penalty
  std::deque<std::int32_t> window_;                      // empty when the window is unbounded
  std::unordered_map<std::int32_t, float> bias_;         // summed
  std::vector<std::uint32_t> allowed_;
  std::vector<float> adjusted_;  // [vocab_size]
  std::vector<float> scratch_;
  std::vector<std::int32_t> ids_;  // the candidates, ascending
  std::vector<float> weights_;     // and their w
};

}  // namespace trine::sampling
