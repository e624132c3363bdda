#pragma once

#include "base/error.h"
#include "base/thread_pool.h"
#include "contract/judge/bounds.h"
#include "contract/judge/prompts.h"
#include "contract/judge/result.h"
#include "contract/judge/stage_compare.h"
#include "contract/judge/swaps.h"
#include "model/device_model.h"
#include "model/weights.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trine::contract {

// What the gate compares, and what each leg must hold (docs/contract.md). A leg is a pure judgement over what
// was measured; gate.h does the measuring.

// One stage of one layer over all rows that were judged: a cell of the heat map.
struct StageCell {
  model::Stage stage = model::Stage::embed;
  int layer = -1;
  double worst_cosine = 1;  // NaN when a row held one
  double worst_relative_l2 = 0;
  std::string prompt;  // where the worst relative L2 is
  std::int64_t row = 0;
  std::size_t rows = 0;     // judged
  std::size_t excused = 0;  // left out by the rule of swaps
};

// One prompt's logits.
struct PromptFigures {
  std::string prompt;
  std::int64_t tokens = 0;
  std::size_t positions = 0;  // judged: all but the excused
  std::size_t excused = 0;    // that miss their bound behind an excused swap
  double worst_cosine = 1;    // over judged positions
  double worst_kl = 0;
  std::int64_t worst_row = 0;  // position of the worst cosine
  double worst_excused_cosine = 1;
};

struct LegResult {
  char leg = ' ';  // 'R', 'X', 'F', 'D', 'T', 'S'
  model::Numerics numerics = model::Numerics::exact;
  CheckResult result;
  std::vector<StageCell> cells;        // X and F, in the order of the model
  std::vector<PromptFigures> prompts;  // X, F and D
  std::size_t choices = 0;             // expert choices compared
  std::size_t choices_different = 0;
};
std::string_view title_of(char leg);  // "exact numerics against the reference"

// ---- What was measured ----

// Logits at the judged positions, prompt after prompt: [prompts · judged_positions][V].
using JudgedLogits = std::vector<float>;

// A backend's stages against the reference's, row by row over all prompts.
struct StageScores {
  StageScores() = default;
  StageScores(const model::Config& config, std::int64_t rows);

  Slots slots;
  std::int64_t rows = 0;
  std::vector<Similarity> scores;       // [slot][row], NaN until delivered
  std::vector<std::uint8_t> delivered;  // [slot][row], how many times
  std::string unequal;                  // the first row or width that does not fit, or empty

  const Similarity& at(std::size_t slot, std::int64_t row) const;
  // Names a slot and row that was not delivered exactly once, or nothing.
  std::string missing() const;
};

// One backend in one numerics mode against the reference.
struct ParityRun {
  model::Numerics numerics = model::Numerics::exact;
  StageScores scores;
  RouterTable expected;
  RouterTable actual;
  JudgedLogits expected_logits;
  JudgedLogits actual_logits;
};

// One way of choosing, over one prompt.
struct ChoiceFigures {
  std::string setting;              // "recommended"
  std::string prompt;               // its name
  std::size_t tokens = 0;           // judged
  std::size_t different = 0;        // chosen otherwise together with others, and by no excuse
  std::size_t different_alone = 0;  // likewise alone
  std::size_t excused = 0;          // the draw lies where arithmetic decides
  std::int64_t first = -1;          // token at which the first one differs
};

struct ChoiceRun {
  model::Numerics numerics = model::Numerics::exact;
  std::vector<ChoiceFigures> settings;
  std::int32_t slots = 0;        // that decoded together, at most
  std::int32_t steps_ahead = 0;  // of the device
};

// The same backend several times over the same prompts.
struct RepeatRun {
  model::Numerics numerics = model::Numerics::exact;
  JudgedLogits first;    // prefill, then token by token, untraced
  JudgedLogits second;   // the same on a backend loaded anew, with another number of threads
  JudgedLogits prefill;  // all tokens at once
  JudgedLogits batched;  // beside another prompt in the same batches, prefill and then token by token
  RouterTable second_routers;
  RouterTable prefill_routers;
  RouterTable batched_routers;
  ChoiceRun choices;
  std::int64_t largest_batch = 0;  // rows
};

// ---- The legs ----

struct LegContext {
  const model::Config& config;
  const PromptSet& prompts;
  bool random_weights = false;  // F is measured but not judged
};

LegResult judge_exact(const LegContext& context, const ParityRun& run);   // X
LegResult judge_fast(const LegContext& context, const ParityRun& run);    // F
LegResult judge_decode(const LegContext& context, const RepeatRun& run);  // D
// T. `judged`: the logits of the traced run that X or F judges, which an untraced one must give to the byte;
// else users get what nobody judged. Null for the reference, which nothing judges.
LegResult judge_repeat(const LegContext& context, const RepeatRun& run, const JudgedLogits* judged);
LegResult judge_choices(const ChoiceRun& run);  // S
// A leg that has no figures, with why.
LegResult leg_without(char leg, model::Numerics numerics, Verdict verdict, std::string reason);

}  // namespace trine::contract
