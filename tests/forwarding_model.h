#pragma once

#include "model/device_model.h"

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace trine::test {

// A model that hands everything to another one, step by step: to derive from, for models that lie or listen.
class ForwardingModel : public model::DeviceModel {
 public:
  explicit ForwardingModel(std::unique_ptr<model::DeviceModel> real) : real_(std::move(real)) {}

  const model::Config& config() const override { return real_->config(); }
  // As the other one, but for where stages ran, of which this one's own traces say it.
  model::DeviceInfo describe() const override {
    model::DeviceInfo info = real_->describe();
    info.stage_place = stage_places();
    return info;
  }
  std::optional<model::MemoryUse> memory_use() const override { return real_->memory_use(); }
  const model::StepLimits& limits() const override { return real_->limits(); }

 protected:
  // Runs a step to its end.
  virtual Result<model::StepOutput> run_step(const model::Step& step, model::TraceSink* trace) {
    return real_->run(step, trace);
  }

  Result<void> place_choosing(std::int32_t slot, const model::Slot& entry) override {
    if (std::exchange(is_open_[slot], true)) return real_->set_choosing(slot, entry.choosing);
    return real_->open_slot(entry.choosing).transform([](std::int32_t) {});
  }
  Result<void> place_pages(std::int32_t slot, const model::Slot& entry) override {
    return real_->set_pages(slot, entry.pages, entry.length);
  }
  Result<void> place_allowed(std::int32_t slot, const model::Slot& entry) override {
    return real_->set_allowed(slot, entry.allowed);
  }
  void release_slot(std::int32_t slot) override {
    is_open_[slot] = false;
    static_cast<void>(real_->close_slot(slot));
  }
  // Where a stage is said to have run.
  virtual model::Place place_of(model::Stage) const { return model::Place::device; }
  Result<void> submit_plan(const model::StepPlan& plan, model::StageTap* trace) override {
    Sink sink(*this, trace);
    TRINE_TRY(outputs_[plan.ring_index], run_step({plan.rows}, trace != nullptr ? &sink : nullptr));
    return {};
  }
  Result<model::StepOutput> take_output(std::int32_t ring_index) override {
    return std::move(outputs_.extract(ring_index).mapped());
  }

  std::unique_ptr<model::DeviceModel> real_;

 private:
  // What the other model traces goes on as this one's.
  class Sink final : public model::TraceSink {
   public:
    Sink(const ForwardingModel& model, model::StageTap* to) : model_(model), to_(to) {}
    bool wants(model::Stage stage, int layer) override { return to_->wants(stage, layer); }
    void take(model::Stage stage, int layer, std::int64_t first_row, std::int64_t rows, std::int64_t width,
              std::span<const float> values) override {
      to_->take(model_.place_of(stage), stage, layer, first_row, rows, width, values);
    }

   private:
    const ForwardingModel& model_;
    model::StageTap* to_;
  };

  std::map<std::int32_t, bool> is_open_;
  std::map<std::int32_t, model::StepOutput> outputs_;
};

}  // namespace trine::test
