#include "wgpu/head.h"

#include "wgpu/matvec.h"
#include "wgpu/norm.h"

#include <algorithm>
#include <utility>

namespace trine::wgpu {

using model::Stage;

namespace {

// Of the slice of head rows [first, first + rows), what back.logits brings that is wanted.
std::vector<std::uint32_t> wanted_of(const Pass& pass, std::uint32_t first, std::uint32_t rows) {
  std::vector<std::uint32_t> wanted;
  for (std::uint32_t i = 0; i < rows; ++i) {
    const std::int32_t row = pass.plan.head_rows[first + i];
    const model::Wants wants = pass.plan.rows[static_cast<std::size_t>(row)].wants;
    if (model::wants_logits(wants) || pass.wants(Stage::logits, -1)) wanted.push_back(i);
  }
  return wanted;
}

// Appends what back.logits holds of wanted rows, once it is there.
Result<void> take_logits(StepReadback& back, std::size_t vocab) {
  if (back.kept.empty()) return {};
  std::vector<float> slice((std::size_t{back.kept.back()} + 1) * vocab);
  TRINE_CHECK_OK(back.logits.take(std::as_writable_bytes(std::span(slice))));
  for (const std::uint32_t row : back.kept) {
    const auto begin = slice.begin() + static_cast<std::ptrdiff_t>(row * vocab);
    back.values.insert(back.values.end(), begin, begin + static_cast<std::ptrdiff_t>(vocab));
  }
  back.kept.clear();
  return {};
}

// Submits the pass, and has what it copied come back.
Result<void> send(Pass& pass, StepReadback& back) {
  back.launches += pass.commands.dispatches();
  TRINE_TRY(back.submission, pass.submit());
  return back.kept.empty() ? Result<void>() : back.logits.start();
}

// Hands the trace the logits that it asked for, which have come.
void report_logits(const Pass& pass, std::span<const float> logits) {
  const auto vocab = static_cast<std::size_t>(pass.config.vocab_size);
  for (std::size_t i = 0; i < pass.plan.head_rows.size(); ++i)
    pass.trace->take(model::Place::device, Stage::logits, -1, pass.plan.head_rows[i], 1,
                     pass.config.vocab_size, logits.subspan(i * vocab, vocab));
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

Result<void> head_forward(Pass& pass, const HeadOps& ops, const ChooseOps* choose, const Slots& slots,
                          StepReadback& back) {
  const auto vocab = static_cast<std::size_t>(pass.config.vocab_size);
  if (pass.wants(Stage::final_norm, -1)) {
    pass.run(ops.norm_all);
    TRINE_CHECK_OK(pass.report(Stage::final_norm, -1, pass.work.normed, pass.config.hidden_size));
  }
  const std::uint32_t rows_each = pass.work.capacity.logits_rows;
  for (std::uint32_t first = 0; first < pass.n_logits; first += rows_each) {
    const std::uint32_t rows = std::min(rows_each, pass.n_logits - first);
    if (first > 0) {
      TRINE_CHECK_OK(send(pass, back));
      TRINE_CHECK_OK(take_logits(back, vocab));
      TRINE_CHECK_OK(pass.set_logits_slice(first, rows));
    }
    record_logits(pass, ops, rows);
    back.kept = wanted_of(pass, first, rows);
    // Before anything changes them.
    if (!back.kept.empty())
      pass.commands.copy(pass.work.logits, 0, back.logits, 0,
                         (std::uint64_t{back.kept.back()} + 1) * vocab * sizeof(float));
    if (choose != nullptr) record_choice(pass, *choose, slots, first, rows);
  }
  if (!back.token_slots.empty())
    pass.commands.copy(pass.work.last_choices, 0, back.tokens, 0, back.tokens.bytes());
  TRINE_CHECK_OK(send(pass, back));
  if (!back.token_slots.empty()) TRINE_CHECK_OK(back.tokens.start());
  if (!pass.wants(Stage::logits, -1)) return {};
  TRINE_CHECK_OK(take_logits(back, vocab));
  report_logits(pass, back.values);
  // Of what the trace was given, those that the step wants.
  std::vector<float> wanted;
  for (std::size_t i = 0; i < pass.plan.head_rows.size(); ++i) {
    if (!model::wants_logits(pass.plan.rows[static_cast<std::size_t>(pass.plan.head_rows[i])].wants))
      continue;
    const auto begin = back.values.begin() + static_cast<std::ptrdiff_t>(i * vocab);
    wanted.insert(wanted.end(), begin, begin + static_cast<std::ptrdiff_t>(vocab));
  }
  back.values = std::move(wanted);
  return {};
}

Result<model::StepOutput> take_step(Gpu& gpu, StepReadback& back, std::size_t vocab) {
  TRINE_CHECK_OK(gpu.wait(back.submission, submission_patience));
  TRINE_CHECK_OK(take_logits(back, vocab));
  model::StepOutput output;
  output.launches = back.launches;
  output.logits = std::move(back.values);
  if (back.token_slots.empty()) return output;
  std::vector<std::int32_t> last_choices(back.tokens.bytes() / sizeof(std::int32_t));
  TRINE_CHECK_OK(back.tokens.take(std::as_writable_bytes(std::span(last_choices))));
  // What is no token has all bits set.
  static_assert(model::no_token == -1);
  for (const std::int32_t slot : back.token_slots)
    output.tokens.push_back(last_choices[static_cast<std::size_t>(slot)]);
  return output;
}

}  // namespace trine::wgpu
