#include "contract/reference_device.h"

#include <fmt/format.h>
#include <algorithm>
#include <vector>

namespace trine::contract {

ReferenceDevice::ReferenceDevice(const model::Weights& weights, std::int32_t context, int threads)
    : weights_(weights), model_(weights), pages_((context + page_size - 1) / page_size), pool_(threads) {}

model::DeviceInfo ReferenceDevice::describe() const {
  model::DeviceInfo info;
  info.backend = "reference";
  info.name = "the definition of the model";
  info.type = "cpu";
  info.api = "fp32, sums in fp64";
  info.threads = pool_.size();
  info.numerics = model::Numerics::exact;
  info.stage_place.fill("device");
  return info;
}

Result<void> ReferenceDevice::forward(const model::Batch& batch, std::span<float> logits,
                                      model::TraceSink* trace) {
  TRINE_CHECK_OK(model::check_batch(batch, *this));
  if (batch.page_tables.size() != 1)
    return fail(ErrorCode::inference, "the reference runs one sequence per batch");
  const std::int32_t first = batch.rows.front().position;
  if (first == 0) sequence_ = {};
  if (first != sequence_.length)
    return fail({ErrorCode::inference,
                 "the positions do not go on from the last batch",
                 {},
                 fmt::format("{}", sequence_.length),
                 fmt::format("{}", first),
                 {}});
  std::vector<std::int32_t> tokens;
  // From the first row that wants logits on; those between that do not are left out below.
  std::int64_t n_logits = 0;
  for (const model::Row& row : batch.rows) {
    tokens.push_back(row.token);
    if (row.wants_logits || n_logits > 0) ++n_logits;
  }
  const reference::Part part{&sequence_, tokens, n_logits};
  TRINE_TRY(const std::vector<float> all, model_.forward(std::span(&part, 1), pool_, trace));
  const auto vocab = static_cast<std::size_t>(weights_.config.vocab_size);
  const std::size_t skipped = batch.rows.size() - static_cast<std::size_t>(n_logits);
  auto out = logits.begin();
  for (std::size_t i = skipped; i < batch.rows.size(); ++i) {
    if (!batch.rows[i].wants_logits) continue;
    const auto row = std::span(all).subspan((i - skipped) * vocab, vocab);
    out = std::copy(row.begin(), row.end(), out);
  }
  return {};
}

}  // namespace trine::contract
