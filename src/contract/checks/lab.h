#pragma once

#include "base/error.h"
#include "contract/checks/checks.h"
#include "contract/judge/judge.h"
#include "gguf/file.h"
#include "model/device_model.h"
#include "model/weights.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trine::contract {

// A one-layer F32 model made to measure, so that a check can hand a backend's own MoE block any numbers it
// likes and read what came out from the trace. Attention adds nothing (W_o is zero) and the norm weights are
// one, so the MoE block of token t sees rmsnorm of its embedding. An embedding of
//   unit(t) = 8 at t, 0 elsewhere
// has a mean square of exactly 1, so the block sees 8 at t as well: column t of a weight matrix, times 8, is
// what token t makes of it, without rounding.
struct Lab {
  static constexpr std::int64_t hidden = 64;

  Lab(std::int64_t n_experts, std::int64_t experts_per_token, std::int64_t ffn, std::int64_t vocab);

  std::int64_t n_experts;          // E
  std::int64_t experts_per_token;  // k
  std::int64_t ffn;                // F
  std::int64_t vocab;              // V, at most `hidden` for units
  std::vector<float> embed;        // [V][H], units
  std::vector<float> router;       // [E][H], zero
  std::vector<float> gate;         // [E][F][H], zero
  std::vector<float> up;           // [E][F][H], zero
  std::vector<float> down;         // [E][H][F], zero

  // Makes token t see `value` in output row r of a matrix [rows][H].
  static void see(std::vector<float>& matrix, std::int64_t row, std::int64_t token, float value) {
    matrix[static_cast<std::size_t>(row * hidden + token)] = value / 8;
  }
  float* expert(std::vector<float>& matrix, std::int64_t e) const { return matrix.data() + e * ffn * hidden; }
  // Fills with numbers in [-scale, scale) that are the same everywhere.
  static void fill(std::vector<float>& matrix, std::uint64_t seed, float scale);
};

// A lab as a loaded GGUF file. The file itself is gone from the disk when this is made.
struct LabModel {
  std::unique_ptr<gguf::File> file;
  model::Weights weights;
};
// What a check may spoil on purpose: drop a tensor, add one, or state another number of experts per token.
struct LabFile {
  std::string without;                 // tensor name
  std::string with;                    // tensor name, one H-vector of zeros
  std::int64_t experts_per_token = 0;  // 0: the lab's
};
// Errors: io (no temporary folder), those of gguf::File::open and model::load_weights.
Result<LabModel> make_model(const Lab& lab, const LabFile& file = {});

// Stages of the one layer, rows in token order.
struct Observed {
  std::map<model::Stage, std::vector<float>> stages;
  // NaN for what the backend did not report, so that no comparison passes.
  std::vector<float> row(model::Stage stage, std::int64_t row, std::int64_t width) const;
  // expert_ids of a row; -1 for what is no whole number.
  std::vector<std::int64_t> ids(std::int64_t row, std::int64_t experts_per_token) const;
};

// Runs the tokens as one prefill on context.backend. Errors: feature_missing (a backend this build lacks),
// those of the backend.
Result<Observed> observe(const CheckContext& context, model::Numerics numerics, const LabModel& model,
                         const std::vector<std::int32_t>& tokens);

// Every numerics mode that the backend of the context has: one for the reference, exact and fast elsewhere.
std::vector<model::Numerics> numerics_of(const CheckContext& context);

// Observes tokens 0 … V−1 of the lab in every numerics mode and hands each run to `judge_run`; the result of
// the judge, or why there is none.
CheckResult judge_lab(const CheckContext& context, const Lab& lab,
                      const std::function<void(const Observed&, Judge&)>& judge_run);

}  // namespace trine::contract
