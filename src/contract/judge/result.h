#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/stage.h"

namespace trine::contract {

// The outcome of anything that judges. Only `pass` is a pass: what did not run is `not_run`, with why, and
// what must not be judged (the wrong model file on one side, a backend compared with itself) is `refused`,
// with why.
enum class Verdict : std::uint8_t { pass, fail, refused, not_run };
std::string_view name_of(Verdict verdict);  // "pass", "fail", "refused", "not-run"

// The verdict over several parts: fail if any failed, else refused, else not_run if NONE ran or any did not
// run, else pass.
Verdict combine(Verdict a, Verdict b);

// A measured quantity: its spread over n samples and the bound it was held to.
struct Figure {
  std::string name;  // "logits cosine"
  double min = 0;
  double median = 0;
  double max = 0;
  std::size_t n = 0;
  std::string bound;  // ">= 0.99999"; empty when the figure is only reported
};

// The first stage that leaves its tolerance, in the order the model computes them (rows in prompt order).
struct Divergence {
  model::Stage stage = model::Stage::embed;
  int layer = -1;
  std::string prompt;  // its name
  std::int64_t row = 0;
  double cosine = 0;
  double relative_l2 = 0;
};

// One expert that differs between two runs of the same row, and whether the rule of swaps.h lets it pass.
struct ExpertSwap {
  std::string prompt;
  std::int64_t row = 0;
  int layer = 0;
  std::int32_t expected = 0;
  std::int32_t actual = 0;
  double margin = 0;          // between the reference's router logits of these two experts
  double measured_error = 0;  // largest |Δ| of this row's router logits
  bool excused = false;       // margin below `allowed`, or the row follows an excused swap
  double allowed = 0;         // what the layer's typical error can turn over; a row cannot inflate it itself
};

struct CheckResult {
  Verdict verdict = Verdict::not_run;
  std::string reason;  // always set unless `pass`
  std::vector<Figure> figures;
  std::optional<Divergence> first_divergence;
  std::vector<ExpertSwap> swaps;
};

}  // namespace trine::contract
