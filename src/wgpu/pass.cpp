#include "wgpu/pass.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

namespace trine::wgpu {

using model::Place;
using model::Stage;

void Pass::run(const Op& op, std::uint32_t rows, std::uint32_t splits) {
  const std::uint32_t work_rows = rows * op.slots;
  auto variant = std::find_if(op.variants.begin(), op.variants.end(),
                              [&](const Op::Variant& v) { return v.rows_per_group >= work_rows; });
  if (variant == op.variants.end()) --variant;
  commands.dispatch({variant->pipeline, &op.bindings, variant->x,
                     divide_up(work_rows, variant->rows_per_group), variant->z * splits, op.label});
}

Result<Submission> Pass::submit() {
  Commands recorded = std::exchange(commands, gpu.record());
  return gpu.submit(std::move(recorded));
}

Result<void> Pass::set_logits_slice(std::uint32_t first, std::uint32_t count) {
  Step step;
  step.n_rows = n_rows;
  step.n_logits = count;
  step.n_splits = n_splits;
  step.first_logits = first;
  return gpu.write(work.step, 0, std::as_bytes(std::span(&step, 1)));
}

Result<void> Pass::read(const Buffer& buffer, std::span<std::uint32_t> into) {
  TRINE_TRY(const Submission submission, submit());
  TRINE_CHECK_OK(gpu.wait(submission, submission_patience));
  return gpu.read(buffer, 0, std::as_writable_bytes(into));
}

Result<void> Pass::report(Stage stage, int layer, const Buffer& buffer, std::int64_t width) {
  if (!wants(stage, layer)) return {};
  std::vector<std::uint32_t> words(n_rows * static_cast<std::size_t>(width));
  TRINE_CHECK_OK(read(buffer, words));
  std::vector<float> values(words.size());
  std::transform(words.begin(), words.end(), values.begin(),
                 [](std::uint32_t word) { return std::bit_cast<float>(word); });
  trace->take(Place::device, stage, layer, 0, n_rows, width, values);
  return {};
}

}  // namespace trine::wgpu
