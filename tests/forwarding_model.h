#pragma once

#include "model/device_model.h"

#include <map>
#include <memory>
#include <utility>

namespace trine::test {

// A model that hands everything to another one, step by step: to derive from, for models that lie or listen.
class ForwardingModel : public model::DeviceModel {
 public:
  explicit ForwardingModel(std::unique_ptr<model::DeviceModel> real) : real_(std::move(real)) {}

  const model::Config& config() const override { return real_->config(); }
  model::DeviceInfo describe() const override { return real_->describe(); }
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
  Result<void> submit_plan(const model::StepPlan& plan, model::TraceSink* trace) override {
    TRINE_TRY(outputs_[plan.ticket], run_step({plan.rows}, trace));
    return {};
  }
  Result<model::StepOutput> take(model::Ticket ticket) override {
    return std::move(outputs_.extract(ticket).mapped());
  }

  std::unique_ptr<model::DeviceModel> real_;

 private:
  std::map<std::int32_t, bool> is_open_;
  std::map<model::Ticket, model::StepOutput> outputs_;
};

}  // namespace trine::test
