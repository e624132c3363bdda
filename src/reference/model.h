#pragma once

#include "base/error.h"
#include "base/thread_pool.h"
#include "model/stage.h"
#include "model/weights.h"

#include <cstdint>
#include <span>
#include <vector>

namespace trine::reference {

// The model in plain fp32 with fp64 sums: what a Qwen3-MoE means. Slow on purpose; every backend is judged by
// it, and it is judged by Hugging Face transformers. Threads only split rows, so their number changes no bit
// of the result.

// A sequence's keys and values so far, fp32, after head norm and rotary embedding: per layer,
// [position][kv_size].
struct Sequence {
  std::vector<std::vector<float>> keys;
  std::vector<std::vector<float>> values;
  std::int32_t length = 0;
};

// What one pass appends to one sequence.
struct Part {
  Sequence* sequence = nullptr;
  std::span<const std::int32_t> tokens;
  std::int64_t n_logits = 1;  // of how many of the last of these tokens logits are wanted
};

class Model {
 public:
  // `weights` (and the file behind it) must outlive the model.
  explicit Model(const model::Weights& weights);

  // Appends `tokens` to the sequence. Returns logits of every appended position, [tokens][vocab_size], or of
  // the last one only. Errors: inference (a token out of range, an empty input, beyond the model's context).
  Result<std::vector<float>> forward(Sequence& sequence, std::span<const std::int32_t> tokens,
                                     bool all_logits, ThreadPool& pool, model::TraceSink* trace) const;

  // Several different sequences in one pass, which decodes each weight once for all of them: a model larger
  // than memory is read once. Gives the bits of the same sequences one by one. Rows, traced or of logits,
  // come part after part. Errors: those of above, and n_logits beyond the tokens.
  Result<std::vector<float>> forward(std::span<const Part> parts, ThreadPool& pool,
                                     model::TraceSink* trace) const;

 private:
  const model::Weights& weights_;
  model::RopeTable rope_;
};

}  // namespace trine::reference
