#pragma once

#include "base/error.h"
#include "cpu/device.h"
#include "model/device_model.h"
#include "model/weights.h"

#include <memory>
#include <string>

namespace trine::cpu {

struct CpuOptions {
  int threads = 0;              // 0: one per available core
  std::int32_t context = 4096;  // positions to hold in the KV cache, all sequences together
  std::int32_t slots = 8;       // sequences at a time
  model::Numerics numerics = model::Numerics::fast;
  std::string isa;  // "portable", "avx2", "avx512vnni"; empty: the best this processor has
};

// The CPU backend: weights stay quantised in the file's mapping, only chosen experts' rows are read, and
// blocks are decoded inside the dot product. The same input gives the same bytes whatever the number of
// threads.
class CpuModel final : public model::DeviceModel {
 public:
  // `weights` must outlive the model. Errors: backend_unavailable (an isa this build or processor lacks),
  // model_load (the KV cache does not fit into memory).
  static Result<std::unique_ptr<CpuModel>> load(const model::Weights& weights, const CpuOptions& options);
  ~CpuModel() override;

  const model::Config& config() const override;
  model::DeviceInfo describe() const override;
  const model::StepLimits& limits() const override;

 protected:
  Result<void> place_choosing(std::int32_t slot, const model::Slot& entry) override;
  Result<void> place_pages(std::int32_t slot, const model::Slot& entry) override;
  Result<void> place_allowed(std::int32_t slot, const model::Slot& entry) override;
  Result<void> submit_plan(const model::StepPlan& plan, model::StageTap* trace) override;
  Result<model::StepOutput> take(model::Ticket ticket) override;

 private:
  struct State;
  explicit CpuModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trine::cpu
