#include "wgpu/head.h"

#include "wgpu/matvec.h"
#include "wgpu/norm.h"

#include <algorithm>

namespace trine::wgpu {

using model::Stage;

namespace {

// The rows of a slice, which work.logits holds.
Result<void> read_logits(Pass& pass, std::span<float> logits) {
  Readback& readback = pass.work.logits_read;
  pass.commands.copy(pass.work.logits, 0, readback, 0, logits.size_bytes());
  TRINE_TRY(const Submission submission, pass.submit());
  TRINE_CHECK_OK(readback.start());
  TRINE_CHECK_OK(pass.gpu.wait(submission, submission_patience));
  return readback.take(std::as_writable_bytes(logits));
}

void report_logits(const Pass& pass, std::span<const float> logits) {
  const std::size_t vocab = static_cast<std::size_t>(pass.config.vocab_size);
  if (!pass.wants(Stage::logits, -1)) return;
  std::size_t next = 0;
  for (std::size_t n = 0; n < pass.batch.rows.size(); ++n) {
    if (!pass.batch.rows[n].wants_logits) continue;
    pass.trace->take(Stage::logits, -1, static_cast<std::int64_t>(n), 1, pass.config.vocab_size,
                     logits.subspan(next++ * vocab, vocab));
  }
}

}  // namespace

Result<HeadOps> make_head(const Builder& builder, const Matrices& matrices) {
  const Workspace& work = builder.work;
  const bool q8 = builder.reads_q8(matrices.head());
  HeadOps ops;
  TRINE_TRY(ops.norm_all, make_norm(builder, work.x, matrices.output_norm, NormOutput::f32));
  TRINE_TRY(ops.norm, make_norm(builder, work.x, matrices.output_norm,
                                q8 ? NormOutput::f32_and_q8 : NormOutput::f32, true));
  TRINE_TRY(ops.output,
            make_projection(builder, {"logits", matrices.head(), q8 ? work.normed_q8 : work.normed, q8,
                                      work.logits, matrices.head().rows, 0, nullptr, true}));
  return ops;
}

void record_logits(Pass& pass, const HeadOps& ops, std::uint32_t rows) {
  pass.run(ops.norm);
  for (const Op& op : ops.output) pass.run(op, rows);
}

Result<void> head_forward(Pass& pass, const HeadOps& ops, std::span<float> logits) {
  if (pass.wants(Stage::final_norm, -1)) {
    pass.run(ops.norm_all);
    TRINE_CHECK_OK(pass.report(Stage::final_norm, -1, pass.work.normed, pass.config.hidden_size));
  }
  if (pass.n_logits == 0) {
    TRINE_TRY(const Submission submission, pass.submit());
    return pass.gpu.wait(submission, submission_patience);
  }
  const std::size_t vocab = static_cast<std::size_t>(pass.config.vocab_size);
  const std::uint32_t rows_each = pass.work.capacity.logits_rows;
  for (std::uint32_t first = 0; first < pass.n_logits; first += rows_each) {
    const std::uint32_t rows = std::min(rows_each, pass.n_logits - first);
    if (first > 0) TRINE_CHECK_OK(pass.set_logits_slice(first, rows));
    record_logits(pass, ops, rows);
    TRINE_CHECK_OK(read_logits(pass, logits.subspan(first * vocab, rows * vocab)));
  }
  report_logits(pass, logits);
  return {};
}

}  // namespace trine::wgpu
