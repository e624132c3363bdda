#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "model/load_options.h"
#include "model/weights.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trine::backend {

// A backend that Trine knows, whether or not this build has it. A new backend adds its line to the table in
// registry.cpp.
struct BackendEntry {
  std::string_view name;  // "cpu", "cuda", "wgpu"
  bool is_gpu = false;
  bool built = false;
  std::string_view not_built_because;  // empty when it is built
  // Whether `device` (empty: the best) is here, asked before a model is read. Errors: backend_unavailable,
  // naming those that are.
  Result<void> (*check_device)(const std::string& device) = nullptr;
  // The type of that device, as DeviceInfo names it. Errors: those of check_device.
  Result<std::string> (*device_type)(const std::string& device) = nullptr;
  // Whether LoadOptions::without may be this, asked before a model is read. Errors: usage, with what may.
  Result<void> (*check_without)(std::span<const std::string> names) = nullptr;
  // `weights` must outlive the model. Errors: those of check_device and check_without, and of the backend's
  // load().
  Result<std::unique_ptr<model::DeviceModel>> (*load)(const model::Weights& weights,
                                                      const model::LoadOptions& options) = nullptr;
};

// Every backend, in the order that "auto" tries them last to first.
std::span<const BackendEntry> backends();
// Null when no backend has this name.
const BackendEntry* find_backend(std::string_view name);

// From now on, a backend's library that aborts has its last message printed on one line of stderr and ends
// the process with ErrorCode::inference. For the command line only.
void install_abort_handlers();

// What `name` means here, and why: "auto" is the last backend of the table that is built and has the device
// (empty: its best). A GPU backend without a GPU is passed over, and the reason says why.
struct Choice {
  const BackendEntry* entry = nullptr;
  std::string reason;  // "as asked", "auto chose cpu; not wgpu: no WebGPU adapter is a GPU"
};
// Errors: usage (no such backend), feature_missing (this build lacks it).
Result<Choice> choose_backend(std::string_view name, const std::string& device = {});

// choose_backend() and its load(). Errors: those of both.
Result<std::unique_ptr<model::DeviceModel>> load_model(std::string_view name, const model::Weights& weights,
                                                       const model::LoadOptions& options);

}  // namespace trine::backend
