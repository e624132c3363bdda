#include "cpu/head.h"

#include <vector>

namespace trine::cpu {

using model::Stage;

void head_forward(Pass& pass, std::span<float> logits) {
  const std::int64_t vocab = pass.config.vocab_size;
  const std::vector<std::int32_t>& wanted = pass.plan.head_rows;
  const bool traced = pass.trace != nullptr && pass.trace->wants(Stage::final_norm, -1);
  if (wanted.empty() && !traced) return;

  norm_rows(pass, pass.matrices.output_norm, false);
  pass.report(Stage::final_norm, -1, pass.work.normed.f32.data(), pass.config.hidden_size);
  if (wanted.empty()) return;

  const PhaseTimer timer(pass.times, Phase::logits);
  const Activations x = pass.work.normed.view(static_cast<std::int64_t>(wanted.size()), wanted.data());
  const Matrix& output = pass.matrices.output;
  pass.pool.parallel_ranges(vocab, pass.rows_per_task(vocab, x.rows),
                            [&](std::int64_t begin, std::int64_t end, int) {
                              output.apply(output.slice(begin, end), x, logits.data() + begin, vocab);
                            });
  if (pass.trace == nullptr || !pass.trace->wants(Stage::logits, -1)) return;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    pass.trace->take(model::Place::device, Stage::logits, -1, wanted[i], 1, vocab,
                     logits.subspan(i * static_cast<std::size_t>(vocab), static_cast<std::size_t>(vocab)));
  }
}

}  // namespace trine::cpu
