#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "model/load_options.h"
#include "model/weights.h"

#include <memory>
#include <optional>
#include <span>
#include <string>

namespace trine::cpu {

// The CPU backend: weights stay quantised in the file's mapping, only chosen experts' rows are read, and
// blocks are decoded inside the dot product. The same input gives the same bytes whatever the number of
// threads.
class CpuModel final : public model::DeviceModel {
 public:
  // What backend::BackendEntry has of a backend. A device is an instruction set: one of isa_names()
  // (kernels/kernels.h); empty: what TRINE_CPU names, or the best this processor has.
  static Result<void> check_device(const std::string& device);
  static Result<std::string> device_type(const std::string& device);
  static Result<void> check_without(std::span<const std::string> names);
  // `weights` must outlive the model. Errors: backend_unavailable (a device this build or processor lacks,
  // a thread that cannot be pinned), usage (anything to leave out; more threads than can be pinned; a
  // type of KV cache that the numerics or the model's heads do not go with), model_load (the KV cache does
  // not fit into memory).
  static Result<std::unique_ptr<CpuModel>> load(const model::Weights& weights,
                                                const model::LoadOptions& options);
  ~CpuModel() override;

  const model::Config& config() const override;
  model::DeviceInfo describe() const override;
  const model::StepLimits& limits() const override;
  bool times_phases() const override { return true; }
  Result<std::optional<model::ArithmeticRate>> measure_arithmetic() override;

 protected:
  Result<void> place_choosing(std::int32_t slot, const model::Slot& entry) override;
  Result<void> place_pages(std::int32_t slot, const model::Slot& entry) override;
  Result<void> place_allowed(std::int32_t slot, const model::Slot& entry) override;
  Result<void> submit_plan(const model::StepPlan& plan, model::StageTap* trace) override;
  Result<model::StepOutput> take_output(std::int32_t ring_index) override;
  Result<model::StepTime> time_plan(const model::StepPlan& plan, bool in_parts) override;

 private:
  struct State;
  explicit CpuModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trine::cpu
