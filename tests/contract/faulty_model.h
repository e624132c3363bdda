#pragma once

#include "forwarding_model.h"
#include "gate_fixture.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace trine::test {

// A step on its way to a backend, and the page tables of all slots.
struct FaultyStep {
  model::Step step;
  std::vector<std::vector<std::int32_t>> page_tables;

  // Whether rows of several sequences are in it.
  bool is_shared() const {
    return std::any_of(step.rows.begin(), step.rows.end(),
                       [&](const model::Row& row) { return row.slot != step.rows.front().slot; });
  }
};

// What a FaultyModel does wrong; what is empty, it does right.
struct Fault {
  std::function<void(model::DeviceInfo&)> describe;
  std::function<void(FaultyStep&)> step;                                   // before it is run
  std::function<void(const FaultyStep&, std::span<float> logits)> logits;  // after
  // Rows of a stage as they are delivered; may change their number.
  std::function<void(model::Stage, int layer, std::int64_t width, std::vector<float>& values)> stage;
  // Logits of a run that is not traced in full, which is what users get.
  std::function<void(const FaultyStep&, std::span<float> logits)> untraced_logits = {};
  // Whether the device is still there; asked before each step.
  std::function<Result<void>()> alive = {};
  std::function<model::Place(model::Stage)> place = {};  // where a stage runs
  std::function<std::optional<model::MemoryUse>()> memory = {};
};

// A real backend that lies.
class FaultyModel final : public ForwardingModel {
 public:
  FaultyModel(std::unique_ptr<model::DeviceModel> real, const Fault& fault)
      : ForwardingModel(std::move(real)), fault_(fault) {}

  model::DeviceInfo describe() const override {
    model::DeviceInfo info = ForwardingModel::describe();
    if (fault_.describe) fault_.describe(info);
    return info;
  }
  std::optional<model::MemoryUse> memory_use() const override {
    return fault_.memory ? fault_.memory() : real_->memory_use();
  }

 protected:
  model::Place place_of(model::Stage stage) const override {
    return fault_.place ? fault_.place(stage) : model::Place::device;
  }
  Result<void> place_pages(std::int32_t slot, const model::Slot& entry) override {
    const auto index = static_cast<std::size_t>(slot);
    page_tables_.resize(std::max(page_tables_.size(), index + 1));
    page_tables_[index] = entry.pages;
    return ForwardingModel::place_pages(slot, entry);
  }
  Result<model::StepOutput> run_step(const model::Step& step, model::TraceSink* trace) override {
    if (fault_.alive) TRINE_CHECK_OK(fault_.alive());
    FaultyStep changed{step, page_tables_};
    const FaultyStep right = changed;
    if (fault_.step) fault_.step(changed);
    Sink sink(trace, fault_);
    TRINE_CHECK_OK(put_pages(page_tables_, changed.page_tables));
    TRINE_TRY(model::StepOutput output, real_->run(changed.step, trace != nullptr ? &sink : nullptr));
    TRINE_CHECK_OK(put_pages(changed.page_tables, page_tables_));
    if (fault_.logits) fault_.logits(right, output.logits);
    const bool is_traced = trace != nullptr && trace->wants(model::Stage::moe_out, 0);
    if (fault_.untraced_logits && !is_traced) fault_.untraced_logits(right, output.logits);
    return output;
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

  using Tables = std::vector<std::vector<std::int32_t>>;
  Result<void> put_pages(const Tables& from, const Tables& to) {
    for (std::size_t slot = 0; slot < to.size(); ++slot) {
      const auto id = static_cast<std::int32_t>(slot);
      if (from[slot] != to[slot]) TRINE_CHECK_OK(real_->set_pages(id, to[slot], real_->length_of(id)));
    }
    return {};
  }

  const Fault& fault_;
  Tables page_tables_;  // by slot
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
