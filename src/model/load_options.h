#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "model/kv_type.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trine::model {

// How a model is put on a backend, the same for all of them. A backend refuses what it has no use for, unless
// a comment here says that it leaves it alone.
struct LoadOptions {
  int threads = 0;   // of the CPU backend, and of others at load; 0: default_threads()
  bool pin = false;  // CPU: each thread stays on a hardware thread of its own
  // CPU: whether memory is taken from all NUMA nodes that threads may run on, in turn; nothing: as true.
  std::optional<bool> numa = {};
  std::int32_t context = 4096;  // positions to hold in the KV cache, all sequences together
  std::int32_t slots = 8;       // sequences at a time; fewer where the device cannot hold what they need
  Numerics numerics = Numerics::fast;
  // What keys and values are kept as; nothing: f16 in fast numerics, unless a proof from the weights fails
  // that they fit, f32 else. Exact numerics have f32 alone.
  std::optional<KvType> kv_type = {};
  std::string device = {};  // empty: the backend's best; for the CPU an instruction set, for wgpu an adapter
  std::vector<std::string> without =
      {};  // wgpu: variants of kernels that are left out, as devices names them
  // wgpu: kernels are judged at load (device/self_test.h), and those that a driver gets wrong switched off.
  // The CPU backend, which leaves it alone, has none that a driver compiles.
  bool self_test = true;
};

// For backends that have no threads of the host's to place. Errors: usage, with the option that was given.
Result<void> refuse_host_options(const LoadOptions& options, std::string_view backend);

}  // namespace trine::model
