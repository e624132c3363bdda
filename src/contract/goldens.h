#pragma once

#include "base/error.h"
#include "contract/legs.h"
#include "model/device_model.h"
#include "model/weights.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
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
  std::vector<GoldenCase> cases;
};

// The goldens of "dir/stem.gguf": dir/stem.golden.json, or dir/stem.json. Errors: file_not_found (neither is
// there, or the second is no file of golden logits), validation_failed (what is wrong with the file, goldens
// that Trine made included).
Result<Goldens> read_goldens(const std::string& model_path, const model::Config& config);

// Logits of every position of a case: [tokens][V].
using RunCase = std::function<Result<std::vector<float>>(std::span<const std::int32_t> tokens)>;

// Holds `run` to the goldens with this cosine. NaN, another argmax and a case that cannot be run fail.
LegResult judge_goldens(const Goldens& goldens, const model::Config& config, double cosine,
                        const RunCase& run);

}  // namespace trine::contract
