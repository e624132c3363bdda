#pragma once

#include "base/thread_pool.h"
#include "model/device_model.h"
#include "model/weights.h"
#include "reference/model.h"

#include <cstdint>
#include <vector>

namespace trine::contract {

// The reference behind the interface of a backend, so that what is asked of every backend (decode equals
// prefill, runs repeat, tracing changes nothing, tokens follow from logits) is asked of the judge too. Its
// cache is the reference's own, so page tables are checked and not used: a sequence is known by its slot, and
// position 0 begins it anew.
class ReferenceDevice final : public model::DeviceModel {
 public:
  // `weights` must outlive the device.
  ReferenceDevice(const model::Weights& weights, std::int32_t context, std::int32_t slots, int threads);

  const model::Config& config() const override { return weights_.config; }
  model::DeviceInfo describe() const override;
  const model::StepLimits& limits() const override { return limits_; }

 protected:
  Result<void> place_choosing(std::int32_t slot, const model::Slot& entry) override;
  Result<void> place_pages(std::int32_t, const model::Slot&) override { return {}; }
  Result<void> place_allowed(std::int32_t slot, const model::Slot& entry) override;
  // Errors: inference, also for positions that do not go on from the last step.
  Result<void> submit_plan(const model::StepPlan& plan, model::StageTap* trace) override;
  Result<model::StepOutput> take_output(std::int32_t ring_index) override;

 private:
  // One sequence's part of a step, and its logits from the first row that wants some on.
  struct Share {
    std::vector<std::int32_t> tokens;
    std::vector<std::int64_t> rows;  // of the step
    std::int64_t n_logits = 0;
  };
  Result<std::vector<Share>> share_out(const model::StepPlan& plan);
  std::int32_t token_of(const model::Row& row) const;

  const model::Weights& weights_;
  reference::Model model_;
  model::StepLimits limits_;
  ThreadPool pool_;
  std::vector<reference::Sequence> sequences_;  // [slots]
  std::vector<sampling::Sampler> samplers_;     // [slots]
  std::vector<std::int32_t> last_choices_;      // [slots]
  model::StepOutput output_;                    // of the step that was submitted last
};

}  // namespace trine::contract
