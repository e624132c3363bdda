#pragma once

#include "model/config.h"
#include "model/stage.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trine::contract {

// How far `actual` is from `expected`, in fp64: their cosine, and ‖a − e‖ / ‖e‖. Both are NaN, which no bound
// lets pass, when the lengths differ, nothing is there, or a value on either side is not finite. Two rows of
// zeros agree; zeros and something else have a cosine of 0.
struct Similarity {
  double cosine = 0;
  double relative_l2 = 0;
};
Similarity compare(std::span<const float> actual, std::span<const float> expected);

// Σ p_e · ln(p_e / p_a), the two softmaxes made in fp64; NaN as above.
double kl_divergence(std::span<const float> actual, std::span<const float> expected);

// The largest |a − e|; NaN as above.
double largest_difference(std::span<const float> actual, std::span<const float> expected);

// The index of the largest value, the lowest of equal ones; -1 when a value is NaN or there is none.
std::int32_t argmax(std::span<const float> values);

// A place in a model: "layer 31, attention", or "embed".
std::string place_text(model::Stage stage, int layer);

// Every (layer, stage) of a model but the logits, in the order a forward pass makes them: embed, the twelve
// stages of each layer, final_norm. Logits are compared as forward() returns them.
struct Slot {
  model::Stage stage = model::Stage::embed;
  int layer = -1;
};
class Slots {
 public:
  Slots() = default;
  explicit Slots(const model::Config& config);
  std::size_t size() const { return slots_.size(); }
  Slot at(std::size_t index) const { return slots_[index]; }
  // size() when the model has no such slot (logits included).
  std::size_t index_of(model::Stage stage, int layer) const;
  // Floats per row.
  std::int64_t width(std::size_t index) const { return widths_[index]; }
  // Bytes that one row of all slots takes.
  std::uint64_t row_bytes() const;

 private:
  std::vector<Slot> slots_;
  std::vector<std::int64_t> widths_;
};
// Floats per row of a stage of this model.
std::int64_t stage_width(const model::Config& config, model::Stage stage);

}  // namespace trine::contract
