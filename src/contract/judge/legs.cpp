#include "contract/judge/legs.h"

#include "base/index.h"
#include "contract/judge/judge.h"
#include "contract/judge/positions.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace trine::contract {
namespace {

using model::Numerics;
using model::Stage;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// Leg F bounds logits, not stages. When it fails, a stage this far off is where it starts; with 8-bit
// activations an honest stage stays above 0.998.
constexpr double gross_cosine = 0.99;

LogitsBound exact_logits() {
  return {leg_bounds().exact_cosine, leg_bounds().exact_kl};
}
LogitsBound fast_logits() {
  return {leg_bounds().fast_cosine, leg_bounds().fast_kl, true};
}
LogitsBound decode_logits() {
  return {leg_bounds().decode_cosine, std::numeric_limits<double>::infinity()};
}

std::size_t different_bytes(std::span<const float> a, std::span<const float> b) {
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) different += sizeof(float);
  return different;
}

// ---- Stages ----

std::vector<StageCell> cells_of(const LegContext& context, const StageScores& scores,
                                const SwapReport& swaps) {
  std::vector<StageCell> cells;
  for (std::size_t slot = 0; slot < scores.slots.size(); ++slot) {
    StageCell cell;
    cell.stage = scores.slots.at(slot).stage;
    cell.layer = scores.slots.at(slot).layer;
    for_each_prompt(context.prompts, [&](const Prompt& prompt, std::int64_t first) {
      for (std::int64_t row = 0; row < prompt.size(); ++row) {
        if (swaps.excused_from[at(first + row)] <= slot) {
          ++cell.excused;
          continue;
        }
        ++cell.rows;
        const Similarity& score = scores.at(slot, first + row);
        if (is_worse(score.cosine, cell.worst_cosine, true)) cell.worst_cosine = score.cosine;
        if (!is_worse(score.relative_l2, cell.worst_relative_l2, false)) continue;
        cell.worst_relative_l2 = score.relative_l2;
        cell.prompt = prompt.name;
        cell.row = row;
      }
    });
    cells.push_back(std::move(cell));
  }
  return cells;
}

std::optional<Divergence> first_divergence(const LegContext& context, const StageScores& scores,
                                           const SwapReport& swaps, double cosine, double relative_l2) {
  std::optional<Divergence> found;
  for (std::size_t slot = 0; slot < scores.slots.size() && !found; ++slot) {
    for_each_prompt(context.prompts, [&](const Prompt& prompt, std::int64_t first) {
      for (std::int64_t row = 0; row < prompt.size() && !found; ++row) {
        if (swaps.excused_from[at(first + row)] <= slot) continue;
        const Similarity& score = scores.at(slot, first + row);
        if (score.cosine >= cosine && score.relative_l2 <= relative_l2) continue;
        const Slot place = scores.slots.at(slot);
        found = Divergence{place.stage, place.layer, prompt.name, row, score.cosine, score.relative_l2};
      }
    });
  }
  return found;
}

std::string text_of(const Divergence& divergence) {
  return fmt::format("first outside: {} (prompt '{}', row {}: cosine {:.7g}, relative L2 {:.3g})",
                     place_text(divergence.stage, divergence.layer), divergence.prompt, divergence.row,
                     divergence.cosine, divergence.relative_l2);
}

// What must hold before two sides can be compared at all.
std::string incomparable(const LegContext& context, const ParityRun& run) {
  if (!run.scores.unequal.empty()) return run.scores.unequal;
  if (std::string missing = run.scores.missing(); !missing.empty()) return missing;
  return unequal_logits(context, run.actual_logits, run.expected_logits);
}

struct Parity {
  SwapReport swaps;
  std::vector<PositionFigures> logits;
  Judge judge;
};

Parity measure_parity(const LegContext& context, const ParityRun& run, const LogitsBound& bound) {
  Parity parity;
  parity.swaps = judge_swaps(run.expected, run.actual, context.prompts, context.config);
  parity.logits = measure_logits(context, run.actual_logits, run.expected_logits, parity.swaps);
  excuse(parity.logits, bound);
  for (std::size_t slot = 0; slot < run.scores.slots.size(); ++slot)
    for (std::int64_t row = 0; row < run.scores.rows; ++row) {
      if (parity.swaps.excused_from[at(row)] <= slot) continue;
      const Similarity& score = run.scores.at(slot, row);
      parity.judge.sample("stage cosine", score.cosine);
      parity.judge.sample("stage relative L2", score.relative_l2);
      if (run.scores.slots.at(slot).stage == Stage::moe_out)
        parity.judge.sample("moe_out cosine", score.cosine);
    }
  sample_logits(parity.judge, parity.logits, bound);
  sample_swaps(parity.judge, parity.swaps);
  return parity;
}

LegResult finish(char leg, Numerics numerics, const LegContext& context, CheckResult result, SwapReport swaps,
                 const std::vector<PositionFigures>& logits) {
  LegResult out;
  out.leg = leg;
  out.numerics = numerics;
  out.result = std::move(result);
  out.result.swaps = std::move(swaps.swaps);
  out.choices = swaps.choices;
  out.choices_different = swaps.different;
  out.prompts = by_prompt(context, logits);
  return out;
}

// Names where it starts, in the result and in its reason.
void name_divergence(CheckResult& result, std::optional<Divergence> divergence) {
  if (result.verdict != Verdict::fail || !divergence) return;
  result.reason += "; " + text_of(*divergence);
  result.first_divergence = std::move(divergence);
}

}  // namespace

std::string_view title_of(char leg) {
  switch (leg) {
    case 'R':
      return "the reference against Hugging Face transformers";
    case 'X':
      return "exact numerics against the reference";
    case 'F':
      return "fast numerics against the reference";
    case 'D':
      return "decode against prefill";
    case 'T':
      return "the same run twice";
    case 'S':
      return "choices of tokens against the rules of sampling";
    default:
      return "";
  }
}

StageScores::StageScores(const model::Config& config, std::int64_t n_rows) : slots(config), rows(n_rows) {
  scores.assign(slots.size() * static_cast<std::size_t>(rows), Similarity{nan, nan});
  delivered.assign(scores.size(), 0);
}

const Similarity& StageScores::at(std::size_t slot, std::int64_t row) const {
  return scores[slot * static_cast<std::size_t>(rows) + static_cast<std::size_t>(row)];
}

std::string StageScores::missing() const {
  for (std::size_t i = 0; i < delivered.size(); ++i) {
    if (delivered[i] == 1) continue;
    const auto n = static_cast<std::size_t>(rows);
    const Slot slot = slots.at(i / n);
    return fmt::format("the sides have unequal numbers of rows: {} came {} times for row {}",
                       place_text(slot.stage, slot.layer), delivered[i], i % n);
  }
  return {};
}

LegResult leg_without(char leg, Numerics numerics, Verdict verdict, std::string reason) {
  LegResult out;
  out.leg = leg;
  out.numerics = numerics;
  out.result.verdict = verdict;
  out.result.reason = std::move(reason);
  return out;
}

LegResult judge_exact(const LegContext& context, const ParityRun& run) {
  if (std::string reason = incomparable(context, run); !reason.empty())
    return leg_without('X', run.numerics, Verdict::refused, std::move(reason));
  Parity parity = measure_parity(context, run, exact_logits());
  Judge& judge = parity.judge;
  judge.hold(stated_bounds("gate.exact-parity"));
  judge.hold(stated_bounds("gate.per-layer"));
  hold_excused(judge, parity.logits);
  CheckResult result = conclude_logits(judge, parity.logits, parity.swaps.swapped_share());
  auto divergence = first_divergence(context, run.scores, parity.swaps, leg_bounds().stage_cosine,
                                     leg_bounds().stage_relative_l2);
  if (!divergence) divergence = logits_divergence(parity.logits, exact_logits());
  name_divergence(result, std::move(divergence));
  std::vector<StageCell> cells = cells_of(context, run.scores, parity.swaps);
  LegResult out =
      finish('X', run.numerics, context, std::move(result), std::move(parity.swaps), parity.logits);
  out.cells = std::move(cells);
  return out;
}

LegResult judge_fast(const LegContext& context, const ParityRun& run) {
  if (std::string reason = incomparable(context, run); !reason.empty())
    return leg_without('F', run.numerics, Verdict::refused, std::move(reason));
  Parity parity = measure_parity(context, run, fast_logits());
  Judge& judge = parity.judge;
  if (!context.random_weights) {
    judge.hold(stated_bounds("gate.fast-parity"));
    hold_excused(judge, parity.logits);
  }
  CheckResult result = conclude_logits(judge, parity.logits, parity.swaps.swapped_share());
  auto divergence = first_divergence(context, run.scores, parity.swaps, gross_cosine,
                                     std::numeric_limits<double>::infinity());
  if (!divergence) divergence = logits_divergence(parity.logits, fast_logits());
  name_divergence(result, std::move(divergence));
  if (context.random_weights && result.verdict == Verdict::pass) {
    result.verdict = Verdict::not_run;
    result.reason =
        "the weights are random, so routers are near ties everywhere: figures are shown and not judged";
  }
  std::vector<StageCell> cells = cells_of(context, run.scores, parity.swaps);
  LegResult out =
      finish('F', run.numerics, context, std::move(result), std::move(parity.swaps), parity.logits);
  out.cells = std::move(cells);
  return out;
}

LegResult judge_decode(const LegContext& context, const RepeatRun& run) {
  for (const JudgedLogits* other : {&run.prefill, &run.batched})
    if (std::string reason = unequal_logits(context, *other, run.second); !reason.empty())
      return leg_without('D', run.numerics, Verdict::refused, std::move(reason));
  // Two ways that must come to the same as token by token: all tokens at once, and beside another prompt.
  const std::pair<const JudgedLogits*, const RouterTable*> ways[] = {{&run.prefill, &run.prefill_routers},
                                                                     {&run.batched, &run.batched_routers}};
  Judge judge;
  SwapReport all_swaps;
  std::vector<PositionFigures> all_logits;
  double swapped = 0;
  for (const auto& [logits, routers] : ways) {
    const SwapReport swaps = judge_swaps(run.second_routers, *routers, context.prompts, context.config);
    std::vector<PositionFigures> figures = measure_logits(context, *logits, run.second, swaps);
    excuse(figures, decode_logits());
    sample_logits(judge, figures, decode_logits());
    sample_swaps(judge, swaps);
    swapped = std::max(swapped, swaps.swapped_share());
    all_logits.insert(all_logits.end(), figures.begin(), figures.end());
    all_swaps.swaps.insert(all_swaps.swaps.end(), swaps.swaps.begin(), swaps.swaps.end());
    all_swaps.choices += swaps.choices;
    all_swaps.different += swaps.different;
  }
  hold_swaps(judge);
  judge.hold(stated_bounds("gate.decode-vs-prefill"));
  hold_excused(judge, all_logits);
  CheckResult result = conclude_logits(judge, all_logits, swapped);
  name_divergence(result, logits_divergence(all_logits, decode_logits()));
  return finish('D', run.numerics, context, std::move(result), std::move(all_swaps), all_logits);
}

LegResult judge_repeat(const LegContext& context, const RepeatRun& run, const JudgedLogits* judged_logits) {
  const JudgedLogits& traced = judged_logits != nullptr ? *judged_logits : run.first;
  for (const JudgedLogits* other : {&run.second, &traced})
    if (std::string reason = unequal_logits(context, run.first, *other); !reason.empty())
      return leg_without('T', run.numerics, Verdict::refused, std::move(reason));
  Judge judge;
  const std::vector<JudgedPosition> positions = judged(context.prompts);
  std::optional<Divergence> divergence;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const auto a = logits_at(run.second, i, context.config.vocab_size);
    const auto e = logits_at(run.first, i, context.config.vocab_size);
    const auto t = logits_at(traced, i, context.config.vocab_size);
    const std::size_t different = different_bytes(a, e), by_tracing = different_bytes(t, e);
    const Similarity similarity = compare(different > 0 ? a : t, e);
    // Two runs that both give NaN agree to the byte and have no answer.
    judge.require(!std::isnan(similarity.cosine), "logits hold a value that is no number");
    judge.sample("tokens that differ", argmax(a) == argmax(e) && argmax(a) >= 0 ? 0 : 1);
    judge.sample("logits bytes that differ", static_cast<double>(different));
    if (judged_logits != nullptr)
      judge.sample("logits bytes that tracing changes", static_cast<double>(by_tracing));
    if (different + by_tracing > 0 && !divergence)
      divergence = Divergence{
          Stage::logits,         -1, positions[i].prompt->name, positions[i].row, similarity.cosine,
          similarity.relative_l2};
  }
  judge.hold(stated_bounds("gate.determinism"));
  if (judged_logits != nullptr) judge.hold("logits bytes that tracing changes", "==", 0);
  LegResult out = leg_without('T', run.numerics, Verdict::not_run, {});
  out.result = judge.result();
  name_divergence(out.result, std::move(divergence));
  return out;
}

LegResult judge_choices(const ChoiceRun& run) {
  Judge judge;
  std::size_t tokens = 0, excused = 0;
  std::string where;
  for (const ChoiceFigures& one : run.settings) {
    judge.sample("tokens that differ", static_cast<double>(one.different));
    judge.sample("tokens that differ alone", static_cast<double>(one.different_alone));
    tokens += one.tokens;
    excused += one.excused;
    if (one.first >= 0 && where.empty())
      where =
          fmt::format("; first with '{}', at token {} behind prompt {}", one.setting, one.first, one.prompt);
  }
  judge.sample("share of tokens that arithmetic decides",
               tokens == 0 ? 1 : static_cast<double>(excused) / static_cast<double>(tokens));
  judge.hold(stated_bounds("gate.choices"));
  judge.require(tokens > 0, "no token was judged");
  LegResult out = leg_without('S', run.numerics, Verdict::not_run, {});
  out.result = judge.result();
  if (out.result.verdict == Verdict::fail) out.result.reason += where;
  return out;
}

}  // namespace trine::contract
