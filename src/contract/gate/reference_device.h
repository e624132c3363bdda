#pragma once

#include "base/thread_pool.h"
#include "model/device_model.h"
#include "model/weights.h"
#include "reference/model.h"

#include <cstdint>
#include <vector>

namespace trine::contract {

// The reference behind the interface of a backend, so that what is asked of every backend (decode equals
// prefill, runs repeat, tracing changes nothing) is asked of the judge too. Its cache is the reference's own,
// so page tables are checked and not used: a sequence is known by its number in the batch, and position 0
// begins it anew.
class ReferenceDevice final : public model::DeviceModel {
 public:
  // `weights` must outlive the device.
  ReferenceDevice(const model::Weights& weights, std::int32_t context, int threads);

  const model::Config& config() const override { return weights_.config; }
  model::DeviceInfo describe() const override;
  std::int32_t kv_page_size() const override { return page_size; }
  std::int32_t kv_pages() const override { return pages_; }
  std::int32_t max_batch_rows() const override { return 512; }
  // Errors: inference, also for positions out of order.
  Result<void> forward(const model::Batch& batch, std::span<float> logits, model::TraceSink* trace) override;

 private:
  static constexpr std::int32_t page_size = 64;

  // One sequence's part of a batch, and its logits from the first row that wants some on.
  struct Share {
    std::vector<std::int32_t> tokens;
    std::vector<std::int64_t> rows;  // of the batch
    std::int64_t n_logits = 0;
  };
  Result<std::vector<Share>> share_out(const model::Batch& batch);

  const model::Weights& weights_;
  reference::Model model_;
  std::int32_t pages_;
  ThreadPool pool_;
  std::vector<reference::Sequence> sequences_;
};

}  // namespace trine::contract
