#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "model/load_options.h"
#include "model/weights.h"
#include "wgpu/adapter.h"
#include "wgpu/shader.h"
#include "wgpu/variants.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trine::wgpu {

class Gpu;
class KernelCache;

// With what only tests and benchmarks ask for.
struct WgpuOptions : model::LoadOptions {
  bool checked_shaders = false;               // bounds checks in every kernel
  std::uint32_t few_chunks = 0;               // of Tuning::attention_few_chunks, when not 0
  std::vector<ShaderEdit> shader_edits = {};  // bugs in kernels, for tests of what finds them
};

// The WebGPU backend: weights stay quantised in device memory, only chosen experts' rows are read, and the
// whole pass runs on the device. The same input gives the same bytes in every run.
class WgpuModel final : public model::DeviceModel {
 public:
  // What backend::BackendEntry has of a backend. A device is what list_adapters() takes; names to leave out
  // are those of variants_without().
  static Result<void> check_device(const std::string& device);
  static Result<std::string> device_type(const std::string& device);
  static Result<void> check_without(std::span<const std::string> names);
  // `weights` must outlive the model; its tensors are read during the call and, on a software adapter,
  // when kernels are first used. Errors: usage
  // (options.without), backend_unavailable (no such adapter), model_load (weights, KV cache and work space do
  // not fit, with their sizes), inference (a kernel does not compile, a device fault, a self-test that fails
  // whatever is switched off).
  static Result<std::unique_ptr<WgpuModel>> load(const model::Weights& weights,
                                                 const model::LoadOptions& options);
  static Result<std::unique_ptr<WgpuModel>> load(const model::Weights& weights, const WgpuOptions& options);
  ~WgpuModel() override;

  const model::Config& config() const override;
  model::DeviceInfo describe() const override;
  const model::StepLimits& limits() const override;
  std::optional<model::MemoryUse> memory_use() const override;
  // Where the device gives timestamps.
  bool times_kernels() const override;
  Result<std::optional<model::MemoryRate>> measure_memory() override;
  // Loses the device on purpose: for tests of what comes after.
  void lose_device();

 protected:
  Result<void> place_choosing(std::int32_t slot, const model::Slot& entry) override;
  Result<void> place_pages(std::int32_t slot, const model::Slot& entry) override;
  Result<void> place_allowed(std::int32_t slot, const model::Slot& entry) override;
  Result<void> submit_plan(const model::StepPlan& plan, model::StageTap* trace) override;
  Result<model::StepOutput> take_output(std::int32_t ring_index) override;
  Result<model::StepTime> time_plan(const model::StepPlan& plan, bool by_kernel) override;

 private:
  struct State;
  explicit WgpuModel(std::unique_ptr<State> state);
  static Result<std::unique_ptr<WgpuModel>> load_with(const model::Weights& weights,
                                                      const WgpuOptions& options, const Variants& asked,
                                                      const Variants& variants);
  static Result<std::unique_ptr<WgpuModel>> load_on(std::shared_ptr<Gpu> gpu,
                                                    std::shared_ptr<KernelCache> compiled,
                                                    const model::Weights& weights, const WgpuOptions& options,
                                                    const Variants& asked, const Variants& variants);
  std::unique_ptr<State> state_;
};

}  // namespace trine::wgpu
