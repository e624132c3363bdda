#pragma once

#include "base/thread_pool.h"
#include "model/device_model.h"
#include "model/weights.h"
#include "reference/model.h"

#include <cstdint>

namespace trine::contract {

// The reference behind the interface of a backend, so that what is asked of every backend (decode equals
// prefill, runs repeat, tracing changes nothing) is asked of the judge too. One sequence at a time, one per
// batch; its cache is the reference's own, so page tables are checked and not used.
class ReferenceDevice final : public model::DeviceModel {
 public:
  // `weights` must outlive the device.
  ReferenceDevice(const model::Weights& weights, std::int32_t context, int threads);

  const model::Config& config() const override { return weights_.config; }
  model::DeviceInfo describe() const override;
  std::int32_t kv_page_size() const override { return page_size; }
  std::int32_t kv_pages() const override { return pages_; }
  std::int32_t max_batch_rows() const override { return 512; }
  // Errors: inference, also for a batch of several sequences and for positions out of order.
  Result<void> forward(const model::Batch& batch, std::span<float> logits, model::TraceSink* trace) override;

 private:
  static constexpr std::int32_t page_size = 64;

  const model::Weights& weights_;
  reference::Model model_;
  std::int32_t pages_;
  ThreadPool pool_;
  reference::Sequence sequence_;
};

}  // namespace trine::contract
