#pragma once

#include "contract/judge/judge.h"
#include "contract/judge/legs.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trine::contract {

// The logits of two runs: what each judged position shows, which of them an expert swap excuses, and what
// must hold over all (docs/contract.md, "Expert swaps").

// ---- Rows and positions ----

// Calls visit(prompt, its first row over all prompts) in order.
template <typename Visit>
void for_each_prompt(const PromptSet& prompts, Visit visit) {
  std::int64_t first = 0;
  for (const Prompt& prompt : prompts.prompts) {
    visit(prompt, first);
    first += prompt.size();
  }
}

struct JudgedPosition {
  const Prompt* prompt;
  std::int64_t row;         // in its prompt
  std::int64_t global_row;  // over all prompts
};

std::vector<JudgedPosition> judged(const PromptSet& prompts);
// [V], of a judged position counted over all prompts.
std::span<const float> logits_at(const JudgedLogits& logits, std::size_t position, std::int64_t vocab);
// Whether both sides have logits for every judged position; says what is unequal.
std::string unequal_logits(const LegContext& context, const JudgedLogits& a, const JudgedLogits& b);

// ---- Judging ----

struct PositionFigures {
  JudgedPosition place{};
  Similarity similarity;
  double kl = 0;
  double difference = 0;  // largest |Δ|
  double margin = 0;      // between the expected two largest
  bool same_top = false;
  bool follows_swap = false;  // an excused one, of its own row or of one that it attends to
  bool excused = false;       // follows one and misses its bound
};

// What the logits of a position must be. NaN misses every bound.
struct LogitsBound {
  double cosine;
  double kl;
  bool judge_top = false;
};

std::vector<PositionFigures> measure_logits(const LegContext& context, const JudgedLogits& actual,
                                            const JudgedLogits& expected, const SwapReport& swaps);
// Every position is judged; one that misses its bound is excused when it follows an excused swap.
void excuse(std::vector<PositionFigures>& figures, const LogitsBound& bound);
// Keeps a NaN: once worse, nothing is better.
bool is_worse(double candidate, double worst, bool lower_is_worse);
std::vector<PromptFigures> by_prompt(const LegContext& context, const std::vector<PositionFigures>& figures);

void sample_logits(Judge& judge, const std::vector<PositionFigures>& figures, const LogitsBound& bound);
void sample_swaps(Judge& judge, const SwapReport& swaps);
// By what leg X states of swaps, where a leg states nothing of them.
void hold_swaps(Judge& judge);
// By what even excused positions must hold, where there are any.
void hold_excused(Judge& judge, const std::vector<PositionFigures>& figures);
// swapped: the share of rows with a swap.
CheckResult conclude_logits(const Judge& judge, const std::vector<PositionFigures>& figures, double swapped);

// The first judged position whose logits leave these bounds.
std::optional<Divergence> logits_divergence(const std::vector<PositionFigures>& figures,
                                            const LogitsBound& bound);

}  // namespace trine::contract
