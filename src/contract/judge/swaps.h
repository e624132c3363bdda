#pragma once

#include "contract/judge/prompts.h"
#include "contract/judge/result.h"
#include "contract/judge/stage_compare.h"
#include "model/config.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trine::contract {

// The rule of expert swaps.
//
// Arithmetic that rounds differently gives router logits that differ a little. Where two experts are closer
// than that, either choice is right, and from there on the row has another residual stream. So a row whose
// choice differs may be excused, and it is hard to be:
//   1. The ids must follow from the backend's own router logits (its k largest); whole, in range, distinct.
//   2. The reference's margin between the two experts must be below four times the layer's median router
//      error over all rows that follow no swap. A row cannot raise that by its own error.
//      Experts whose logits are equal in the backend's own eyes leave no choice: the lower id must win.
//   3. Rows with a swap must be rare: at most a tenth of all.
// An excused swap at layer l excuses its own row from expert_ids of that layer on, and later rows of the same
// prompt from the attention of the next layer on, which reads the swapped row's keys and values; nothing
// else. So only the first swap of a row is judged, and only where no earlier row's swap has reached it:
// behind a swap routers see other inputs, and no margin says anything.
inline constexpr double swap_allowance = 4;

// Router logits [row][E] and expert ids [row][k] of every layer, rows of all prompts one after the other. NaN
// where nothing was delivered.
struct RouterTable {
  RouterTable() = default;
  RouterTable(const model::Config& config, std::int64_t rows);

  std::int64_t n_experts = 0;
  std::int64_t top = 0;
  std::int64_t rows = 0;
  std::vector<std::vector<float>> logits;  // by layer
  std::vector<std::vector<float>> ids;

  std::span<const float> logits_of(int layer, std::int64_t row) const;
  std::span<const float> ids_of(int layer, std::int64_t row) const;
  // Stores values of router_logits or expert_ids; other stages and rows out of range are left alone.
  void take(model::Stage stage, int layer, std::int64_t row, std::span<const float> values);
};

struct SwapReport {
  std::vector<ExpertSwap> swaps;          // those not excused first, then in the order of rows and layers
  std::vector<std::size_t> excused_from;  // by row: the first slot of Slots that is excused; size() for none
  std::vector<bool> swapped;              // by row: a swap of its own
  std::size_t not_excused = 0;            // swaps that break the rule
  std::size_t choices = 0;                // expert choices compared
  std::size_t different = 0;              // and how many of them differ
  std::vector<double> typical_error;      // by layer: the median that the rule uses
  std::string invalid;                    // what is wrong with the actual ids, or empty

  double swapped_share() const;
};

SwapReport judge_swaps(const RouterTable& expected, const RouterTable& actual, const PromptSet& prompts,
                       const model::Config& config);

}  // namespace trine::contract
