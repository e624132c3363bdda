#pragma once

#include "gate_fixture.h"
#include "model/device_model.h"

#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace trine::test {

// What a FaultyModel does wrong; what is empty, it does right.
struct Fault {
  std::function<void(model::DeviceInfo&)> describe;
  std::function<void(model::Batch&)> batch;                                  // before it is run
  std::function<void(const model::Batch&, std::span<float> logits)> logits;  // after
  // Rows of a stage as they are delivered; may change their number.
  std::function<void(model::Stage, int layer, std::int64_t width, std::vector<float>& values)> stage;
  // Logits of a run that is not traced in full, which is what users get.
  std::function<void(const model::Batch&, std::span<float> logits)> untraced_logits = {};
  // Whether the device is still there; asked before each batch.
  std::function<Result<void>()> alive = {};
};

// A real backend that lies.
class FaultyModel final : public model::DeviceModel {
 public:
  FaultyModel(std::unique_ptr<model::DeviceModel> real, const Fault& fault)
      : real_(std::move(real)), fault_(fault) {}

  const model::Config& config() const override { return real_->config(); }
  model::DeviceInfo describe() const override {
    model::DeviceInfo info = real_->describe();
    if (fault_.describe) fault_.describe(info);
    return info;
  }
  std::int32_t kv_page_size() const override { return real_->kv_page_size(); }
  std::int32_t kv_pages() const override { return real_->kv_pages(); }
  std::int32_t max_batch_rows() const override { return real_->max_batch_rows(); }
  Result<void> forward(const model::Batch& batch, std::span<float> logits, model::TraceSink* trace) override {
    if (fault_.alive) TRINE_CHECK_OK(fault_.alive());
    model::Batch changed = batch;
    if (fault_.batch) fault_.batch(changed);
    Sink sink(trace, fault_);
    TRINE_CHECK_OK(real_->forward(changed, logits, trace != nullptr ? &sink : nullptr));
    if (fault_.logits) fault_.logits(batch, logits);
    const bool is_traced = trace != nullptr && trace->wants(model::Stage::moe_out, 0);
    if (fault_.untraced_logits && !is_traced) fault_.untraced_logits(batch, logits);
    return {};
  }

 private:
  class Sink final : public model::TraceSink {
   public:
    Sink(model::TraceSink* to, const Fault& fault) : to_(to), fault_(fault) {}
    bool wants(model::Stage stage, int layer) override { return to_->wants(stage, layer); }
    void take(model::Stage stage, int layer, std::int64_t first_row, std::int64_t, std::int64_t width,
              std::span<const float> values) override {
      std::vector<float> copy(values.begin(), values.end());
      if (fault_.stage) fault_.stage(stage, layer, width, copy);
      const auto rows = static_cast<std::int64_t>(copy.size()) / width;
      if (rows > 0) to_->take(stage, layer, first_row, rows, width, copy);
    }

   private:
    model::TraceSink* to_;
    const Fault& fault_;
  };

  std::unique_ptr<model::DeviceModel> real_;
  const Fault& fault_;
};

// A bench whose backend has this fault. Small: the demo's first three layers, four short prompts.
struct FaultyBench : GateBench {
  explicit FaultyBench(Fault wrong = {}) : GateBench(demo_path, 3), fault(std::move(wrong)) {
    use_prompts(contract::quick_subset(prompts));
    const contract::OpenBackend real = open;
    open = [this, real](model::Numerics numerics,
                        int threads) -> Result<std::unique_ptr<model::DeviceModel>> {
      TRINE_TRY(auto device, real(numerics, threads));
      return std::make_unique<FaultyModel>(std::move(device), fault);
    };
  }
  FaultyBench(const FaultyBench&) = delete;
  FaultyBench& operator=(const FaultyBench&) = delete;

  Fault fault;
};

}  // namespace trine::test
