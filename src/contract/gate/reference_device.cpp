#include "contract/gate/reference_device.h"
#include "model/device_names.h"

#include <fmt/format.h>
#include <algorithm>
#include <optional>
#include <utility>

namespace trine::contract {

ReferenceDevice::ReferenceDevice(const model::Weights& weights, std::int32_t context, int threads)
    : weights_(weights), model_(weights), pages_((context + page_size - 1) / page_size), pool_(threads) {}

model::DeviceInfo ReferenceDevice::describe() const {
  model::DeviceInfo info;
  info.backend = "reference";
  info.name = "the definition of the model";
  info.type = model::cpu_type;
  info.api = "fp32, sums in fp64";
  info.threads = pool_.size();
  info.numerics = model::Numerics::exact;
  info.stage_place.fill("device");
  return info;
}

namespace {

// The reference delivers a batch's rows sequence by sequence: each goes on under its own row of the batch.
class BatchOrder final : public model::TraceSink {
 public:
  BatchOrder(model::TraceSink& to, std::span<const std::int64_t> order) : to_(to), order_(order) {}
  bool wants(model::Stage stage, int layer) override { return to_.wants(stage, layer); }
  void take(model::Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    for (std::int64_t r = 0; r < rows; ++r)
      to_.take(stage, layer, order_[static_cast<std::size_t>(first + r)], 1, width,
               values.subspan(static_cast<std::size_t>(r * width), static_cast<std::size_t>(width)));
  }

 private:
  model::TraceSink& to_;
  std::span<const std::int64_t> order_;
};

}  // namespace

Result<void> ReferenceDevice::forward(const model::Batch& batch, std::span<float> logits,
                                      model::TraceSink* trace) {
  TRINE_CHECK_OK(model::check_batch(batch, *this));
  TRINE_TRY(const std::vector<Share> shares, share_out(batch));
  std::vector<reference::Part> parts;
  std::vector<std::int64_t> order;
  for (std::size_t s = 0; s < shares.size(); ++s) {
    if (shares[s].tokens.empty()) continue;
    parts.push_back({&sequences_[s], shares[s].tokens, shares[s].n_logits});
    order.insert(order.end(), shares[s].rows.begin(), shares[s].rows.end());
  }
  std::optional<BatchOrder> sorted;
  if (trace != nullptr) sorted.emplace(*trace, order);
  TRINE_TRY(const std::vector<float> all, model_.forward(parts, pool_, sorted ? &*sorted : nullptr));
  // A part's logits begin at its first row that wants some; those between that do not are left out.
  const auto vocab = static_cast<std::size_t>(weights_.config.vocab_size);
  std::vector<std::span<const float>> row_logits(batch.rows.size());
  std::size_t next = 0;
  for (const Share& share : shares)
    for (std::size_t i = share.rows.size() - static_cast<std::size_t>(share.n_logits); i < share.rows.size();
         ++i)
      row_logits[static_cast<std::size_t>(share.rows[i])] = std::span(all).subspan(next++ * vocab, vocab);
  auto out = logits.begin();
  for (std::size_t i = 0; i < batch.rows.size(); ++i)
    if (batch.rows[i].wants_logits) out = std::copy(row_logits[i].begin(), row_logits[i].end(), out);
  return {};
}

Result<std::vector<ReferenceDevice::Share>> ReferenceDevice::share_out(const model::Batch& batch) {
  sequences_.resize(std::max(sequences_.size(), batch.page_tables.size()));
  std::vector<Share> shares(batch.page_tables.size());
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    const model::Row& row = batch.rows[i];
    reference::Sequence& sequence = sequences_[static_cast<std::size_t>(row.sequence)];
    Share& share = shares[static_cast<std::size_t>(row.sequence)];
    if (row.position == 0) sequence = {};
    const auto next = sequence.length + static_cast<std::int32_t>(share.tokens.size());
    if (row.position != next)
      return fail({.code = ErrorCode::inference,
                   .what = "the positions do not go on from the last batch",
                   .expected = fmt::format("{}", next),
                   .actual = fmt::format("{}", row.position)});
    share.tokens.push_back(row.token);
    share.rows.push_back(static_cast<std::int64_t>(i));
    if (row.wants_logits || share.n_logits > 0) ++share.n_logits;
  }
  return shares;
}

}  // namespace trine::contract
