#include "contract/gate/reference_device.h"
#include "base/index.h"
#include "model/device_names.h"

#include <fmt/format.h>
#include <algorithm>
#include <optional>
#include <utility>

namespace trine::contract {

namespace {

constexpr std::int32_t page_size = 64, most_rows = 512;

}  // namespace

ReferenceDevice::ReferenceDevice(const model::Weights& weights, std::int32_t context, std::int32_t slots,
                                 int threads)
    : weights_(weights),
      model_(weights),
      limits_{.kv_page_size = page_size,
              .kv_pages = (context + page_size - 1) / page_size,
              .rows = most_rows,
              .slots = slots,
              .steps_ahead = 1},
      pool_(threads),
      sequences_(at(slots)),
      samplers_(at(slots), sampling::Sampler({})),
      last_choices_(at(slots), model::no_token) {}

model::DeviceInfo ReferenceDevice::describe() const {
  model::DeviceInfo info;
  info.backend = "reference";
  info.name = "the definition of the model";
  info.type = model::cpu_type;
  info.api = "fp32, sums in fp64";
  info.threads = pool_.size();
  info.numerics = model::Numerics::exact;
  info.stage_place = stage_places();
  return info;
}

namespace {

// The reference delivers a batch's rows sequence by sequence: each goes on under its own row of the batch.
class BatchOrder final : public model::TraceSink {
 public:
  BatchOrder(model::StageTap& to, std::span<const std::int64_t> order) : to_(to), order_(order) {}
  bool wants(model::Stage stage, int layer) override { return to_.wants(stage, layer); }
  void take(model::Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    for (std::int64_t r = 0; r < rows; ++r)
      to_.take(model::Place::device, stage, layer, order_[static_cast<std::size_t>(first + r)], 1, width,
               values.subspan(static_cast<std::size_t>(r * width), static_cast<std::size_t>(width)));
  }

 private:
  model::StageTap& to_;
  std::span<const std::int64_t> order_;
};

}  // namespace

Result<void> ReferenceDevice::place_choosing(std::int32_t slot, const model::Slot& entry) {
  sampling::Sampler& sampler = samplers_[at(slot)];
  sampler = sampling::Sampler(entry.choosing.params);
  sampler.accept_prompt(entry.choosing.prompt);
  sampler.accept_chosen(entry.choosing.chosen);
  sampler.allow(entry.allowed);
  return {};
}

Result<void> ReferenceDevice::place_allowed(std::int32_t slot, const model::Slot& entry) {
  samplers_[at(slot)].allow(entry.allowed);
  return {};
}

Result<void> ReferenceDevice::submit_plan(const model::StepPlan& plan, model::StageTap* trace) {
  TRINE_TRY(const std::vector<Share> shares, share_out(plan));
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
  const auto vocab = at(weights_.config.vocab_size);
  std::vector<std::span<const float>> row_logits(plan.rows.size());
  std::size_t next = 0;
  for (const Share& share : shares)
    for (std::size_t i = share.rows.size() - static_cast<std::size_t>(share.n_logits); i < share.rows.size();
         ++i)
      row_logits[static_cast<std::size_t>(share.rows[i])] = std::span(all).subspan(next++ * vocab, vocab);

  output_ = {};
  for (const std::int32_t row : plan.logits_rows)
    output_.logits.insert(output_.logits.end(), row_logits[at(row)].begin(), row_logits[at(row)].end());
  for (const std::int32_t row : plan.token_rows) {
    const std::int32_t slot = plan.rows[at(row)].slot;
    last_choices_[at(slot)] = samplers_[at(slot)].sample(row_logits[at(row)]).value_or(model::no_token);
    output_.tokens.push_back(last_choices_[at(slot)]);
  }
  return {};
}

Result<model::StepOutput> ReferenceDevice::take_output(std::int32_t /*ring_index*/) {
  return std::move(output_);
}

std::int32_t ReferenceDevice::token_of(const model::Row& row) const {
  return row.token == model::last_choice ? std::max(last_choices_[at(row.slot)], 0) : row.token;
}

Result<std::vector<ReferenceDevice::Share>> ReferenceDevice::share_out(const model::StepPlan& plan) {
  std::vector<Share> shares(sequences_.size());
  for (std::size_t i = 0; i < plan.rows.size(); ++i) {
    const model::Row& row = plan.rows[i];
    reference::Sequence& sequence = sequences_[at(row.slot)];
    Share& share = shares[at(row.slot)];
    if (row.position == 0) sequence = {};
    const auto next = sequence.length + static_cast<std::int32_t>(share.tokens.size());
    if (row.position != next)
      return fail({.code = ErrorCode::inference,
                   .what = "the positions do not go on from the last step",
                   .expected = fmt::format("{}", next),
                   .actual = fmt::format("{}", row.position)});
    share.tokens.push_back(token_of(row));
    share.rows.push_back(static_cast<std::int64_t>(i));
    if (row.wants != model::Wants::nothing || share.n_logits > 0) ++share.n_logits;
  }
  return shares;
}

}  // namespace trine::contract
