#pragma once

#include "base/error.h"
#include "contract/judge/legs.h"
#include "model/device_model.h"
#include "model/weights.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::contract {

// Leg R: logits against golden ones that Hugging Face transformers computed.

struct GoldenCase {
  std::vector<std::int32_t> tokens;
  std::vector<float> logits_last;        // [V], of the last position
  std::vector<std::int32_t> argmax_all;  // at every position; may be empty
};
struct Goldens {
  std::string source;  // who computed them, as the file says
  std::string file;    // its name
  std::string sha256;  // of the file
  std::vector<GoldenCase> cases;
};

// The goldens of "dir/stem.gguf": dir/stem.golden.json, or dir/stem.json. They must be of the file of this
// name, and of these bytes where both sides name them (`model_sha256` may be empty). Errors: file_not_found
// (neither is there, or the second is no file of golden logits), validation_failed (what is wrong with the
// file, goldens of another model and those that Trine made included).
Result<Goldens> read_goldens(const std::string& model_path, const model::Config& config,
                             std::string_view model_sha256 = {});

// Of the largest expected logit; a cosine does not see a scale.
inline constexpr double golden_difference = 1e-3;

// Logits of every position of a case: [tokens][V].
using RunCase = std::function<Result<std::vector<float>>(std::span<const std::int32_t> tokens)>;

// Holds `run`, of this backend, to the goldens: to what gate.reference-vs-transformers states, and to
// golden_difference. NaN, another argmax and a case that cannot be run fail.
LegResult judge_goldens(const Goldens& goldens, const model::Config& config, std::string_view backend,
                        const RunCase& run);

}  // namespace trine::contract
