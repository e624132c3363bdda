#pragma once

#include "contract/judge/legs.h"
#include "contract/trace/file.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace trine::contract {

// What a row may be off, as the gate holds exact numerics to it.
struct TraceTolerance {
  double cosine = leg_bounds().stage_cosine;            // at least
  double relative_l2 = leg_bounds().stage_relative_l2;  // at most; ‖a − b‖ / ‖b‖
};

// A slot that both files have. expert_ids are names, not quantities: a row is within tolerance when all are
// equal, and cosine and relative L2 say nothing of it (1 and 0; NaN when an id is not whole, negative or
// there twice).
struct SlotDiff {
  TraceSlot slot;
  double worst_cosine = 1;  // NaN when a row held a value that is not finite
  std::int64_t worst_cosine_row = 0;
  double worst_relative_l2 = 0;  // the same
  std::int64_t worst_relative_l2_row = 0;
  std::int64_t rows_outside = 0;
};

// The first row, in the order the model computes them, that leaves the tolerance.
struct TraceDivergence {
  TraceSlot slot;
  std::int64_t row = 0;
  std::int32_t token = 0;
  double cosine = 0;  // of this row; 1 and 0 for expert_ids
  double relative_l2 = 0;
};

// A choice of experts that differs. With router_logits of the layer in both files, `margin` is by how much b
// preferred its expert, and `router_error` the largest |a − b| over the row's router logits: a margin below
// it is a tie that rounding decides.
struct TraceSwap {
  int layer = 0;
  std::int64_t row = 0;
  double a = 0;  // expert ids as they stand in the files
  double b = 0;
  bool same_experts = false;  // chosen by both, in another order
  std::optional<double> margin;
  double router_error = 0;
};

struct TraceDiff {
  std::vector<SlotDiff> slots;  // in the order of a forward pass
  std::vector<TraceSlot> only_a, only_b;
  std::optional<TraceDivergence> first;  // nothing: what both have is within tolerance
  std::vector<TraceSwap> swaps;          // the first of each row that differs, in the order of the slots

  // All of b is in a and within tolerance. What only a has, b says nothing of.
  bool holds() const { return !first && only_b.empty(); }
};

// Compares b, which is taken as right, with a. Reads row by row. Errors: validation_failed (other models,
// other prompts, no slot in common, a slot of another width).
Result<TraceDiff> diff_traces(const TraceFile& a, const TraceFile& b, const TraceTolerance& tolerance);

}  // namespace trine::contract
