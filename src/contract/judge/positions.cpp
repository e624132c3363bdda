#include "contract/judge/positions.h"

#include "base/index.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace trine::contract {
namespace {

double top_margin(std::span<const float> logits) {
  double first = -std::numeric_limits<double>::infinity(), second = first;
  for (const double x : logits) {
    if (x > first) {
      second = first;
      first = x;
    } else if (x > second) {
      second = x;
    }
  }
  return first - second;
}

// The typical |Δ| of the run: a median over positions that follow no swap, so that no position's own error
// excuses it; over all where every one does.
double typical_difference(const std::vector<PositionFigures>& figures) {
  std::vector<double> differences, all;
  for (const PositionFigures& position : figures) {
    if (std::isnan(position.difference)) continue;
    all.push_back(position.difference);
    if (!position.follows_swap) differences.push_back(position.difference);
  }
  if (differences.empty()) differences = std::move(all);
  if (differences.empty()) return 0;
  std::sort(differences.begin(), differences.end());
  return differences[differences.size() / 2];
}

// Top-1 must agree where the expected margin exceeds what the run's typical error can turn over.
bool misses_top(const PositionFigures& position, double typical) {
  return !position.same_top && !(position.margin <= swap_allowance * typical);
}

constexpr std::string_view unexcused_swaps = "swaps that no near-tie excuses";
constexpr std::string_view cosine_share = "share of positions that miss the cosine and are excused";
constexpr std::string_view excused_share = "share of positions that miss any bound and are excused";
constexpr std::string_view swapped_share = "share of rows with a swap";
constexpr std::string_view excused_cosine = "logits cosine at excused positions";
constexpr std::string_view excused_kl = "logits KL at excused positions";

// A share of few says little: one near-tie at the start of the only prompt may stand before half of all
// positions, on a device that is right. Where nothing but shares is broken, too little was run to judge by,
// which is no pass either.
constexpr double most_swapped_rows_of_few = 0.25;

}  // namespace

std::vector<JudgedPosition> judged(const PromptSet& prompts) {
  std::vector<JudgedPosition> positions;
  for_each_prompt(prompts, [&](const Prompt& prompt, std::int64_t first) {
    for (std::int64_t row = prompt.prefill() - 1; row < prompt.size(); ++row)
      positions.push_back({&prompt, row, first + row});
  });
  return positions;
}

std::span<const float> logits_at(const JudgedLogits& logits, std::size_t position, std::int64_t vocab) {
  return std::span(logits).subspan(position * at(vocab), at(vocab));
}

std::string unequal_logits(const LegContext& context, const JudgedLogits& a, const JudgedLogits& b) {
  const auto vocab = at(context.config.vocab_size);
  const std::size_t expected = context.prompts.prompts.size() * at(judged_positions);
  for (const JudgedLogits* logits : {&a, &b})
    if (logits->size() != expected * vocab)
      return fmt::format("logits of {} positions were delivered, and {} are judged", logits->size() / vocab,
                         expected);
  return {};
}

std::vector<PositionFigures> measure_logits(const LegContext& context, const JudgedLogits& actual,
                                            const JudgedLogits& expected, const SwapReport& swaps) {
  const std::size_t none = Slots(context.config).size();
  std::vector<PositionFigures> figures;
  for (const JudgedPosition& place : judged(context.prompts)) {
    const auto a = logits_at(actual, figures.size(), context.config.vocab_size);
    const auto e = logits_at(expected, figures.size(), context.config.vocab_size);
    PositionFigures one;
    one.place = place;
    one.similarity = compare(a, e);
    one.kl = kl_divergence(a, e);
    one.difference = largest_difference(a, e);
    one.margin = top_margin(e);
    one.same_top = argmax(a) >= 0 && argmax(a) == argmax(e);
    one.follows_swap = swaps.excused_from[at(place.global_row)] < none;
    figures.push_back(one);
  }
  return figures;
}

bool is_worse(double candidate, double worst, bool lower_is_worse) {
  if (std::isnan(worst)) return false;
  return std::isnan(candidate) || (lower_is_worse ? candidate < worst : candidate > worst);
}

std::vector<PromptFigures> by_prompt(const LegContext& context, const std::vector<PositionFigures>& figures) {
  std::vector<PromptFigures> all;
  for (const Prompt& prompt : context.prompts.prompts) {
    PromptFigures one;
    one.prompt = prompt.name;
    one.tokens = prompt.size();
    for (const PositionFigures& position : figures) {
      if (position.place.prompt != &prompt) continue;
      const double cosine = position.similarity.cosine;
      if (position.excused) {
        ++one.excused;
        if (is_worse(cosine, one.worst_excused_cosine, true)) one.worst_excused_cosine = cosine;
        continue;
      }
      ++one.positions;
      if (is_worse(position.kl, one.worst_kl, false)) one.worst_kl = position.kl;
      if (!is_worse(cosine, one.worst_cosine, true)) continue;
      one.worst_cosine = cosine;
      one.worst_row = position.place.row;
    }
    all.push_back(std::move(one));
  }
  return all;
}

void excuse(std::vector<PositionFigures>& figures, const LogitsBound& bound) {
  const double typical = typical_difference(figures);
  for (PositionFigures& position : figures) {
    const bool holds = position.similarity.cosine >= bound.cosine && position.kl <= bound.kl &&
                       !(bound.judge_top && misses_top(position, typical));
    position.excused = position.follows_swap && !holds;
  }
}

void sample_logits(Judge& judge, const std::vector<PositionFigures>& figures, const LogitsBound& bound) {
  const double typical = typical_difference(figures);
  double excused = 0, cosines = 0;
  for (const PositionFigures& position : figures) {
    const double cosine = position.similarity.cosine;
    if (position.excused) {
      judge.sample(excused_cosine, cosine);
      judge.sample(excused_kl, position.kl);
      excused += 1;
      cosines += cosine >= bound.cosine ? 0 : 1;
      continue;
    }
    judge.sample("logits cosine", cosine);
    if (std::isfinite(bound.kl)) judge.sample("logits KL", position.kl);
    if (bound.judge_top) judge.sample("top-1 that differ", misses_top(position, typical) ? 1 : 0);
  }
  judge.sample(cosine_share, cosines / static_cast<double>(figures.size()));
  judge.sample(excused_share, excused / static_cast<double>(figures.size()));
}

void sample_swaps(Judge& judge, const SwapReport& swaps) {
  judge.require(swaps.invalid.empty(), swaps.invalid);
  judge.sample(unexcused_swaps, static_cast<double>(swaps.not_excused));
  judge.sample(swapped_share, swaps.swapped_share());
}

void hold_swaps(Judge& judge) {
  const std::string_view of_swaps[] = {unexcused_swaps, swapped_share, cosine_share, excused_share};
  const std::vector<Bound> exact = stated_bounds("gate.exact-parity");
  for (const std::string_view figure : of_swaps) {
    const Bound& bound = bound_of(exact, figure);
    judge.hold(figure, bound.relation, bound.limit);
  }
}

void hold_excused(Judge& judge, const std::vector<PositionFigures>& figures) {
  if (std::none_of(figures.begin(), figures.end(), [](const auto& position) { return position.excused; }))
    return;
  judge.hold(excused_cosine, ">=", least_excused_cosine);
  judge.hold(excused_kl, "<=", most_excused_kl);
}

CheckResult conclude_logits(const Judge& judge, const std::vector<PositionFigures>& figures, double swapped) {
  CheckResult result = judge.result();
  const auto excused =
      std::count_if(figures.begin(), figures.end(), [](const auto& one) { return one.excused; });
  const auto all = static_cast<std::ptrdiff_t>(figures.size());
  if (result.verdict != Verdict::fail || figures.size() >= full_prompt_count * at(judged_positions))
    return result;
  std::vector<std::string_view> shares = {cosine_share, excused_share};
  if (swapped <= most_swapped_rows_of_few) shares.push_back(swapped_share);
  if (excused == all) shares.insert(shares.end(), {"logits cosine", "logits KL", "top-1 that differ"});
  if (judge.without(shares).result().verdict != Verdict::pass) return result;
  result.verdict = Verdict::refused;
  result.reason = fmt::format(
      "too little was run to tell: {} of {} positions miss a bound behind an expert swap that a near-tie "
      "excuses, and {:.2g} % of rows have one; run {} prompts or more",
      excused, all, 100 * swapped, full_prompt_count);
  return result;
}

std::optional<Divergence> logits_divergence(const std::vector<PositionFigures>& figures,
                                            const LogitsBound& bound) {
  for (const PositionFigures& position : figures) {
    if (position.excused || (position.similarity.cosine >= bound.cosine && position.kl <= bound.kl)) continue;
    return Divergence{model::Stage::logits,        -1,
                      position.place.prompt->name, position.place.row,
                      position.similarity.cosine,  position.similarity.relative_l2};
  }
  return std::nullopt;
}

}  // namespace trine::contract
