#pragma once

#include "base/error.h"

#include <cstdint>
#include <string>

namespace trine::device {

// What a model asks of a device's memory at load, in bytes. Parts that a backend does not have are 0, as the
// weights are where the file's mapping serves.
struct CapacityPlan {
  std::uint64_t weights_bytes = 0;
  std::uint64_t kv_bytes = 0;
  std::uint64_t workspace_bytes = 0;
  std::int32_t positions = 0;  // of the KV cache
  std::int32_t rows = 0;       // of a step, in the workspace

  std::uint64_t total_bytes() const { return weights_bytes + kv_bytes + workspace_bytes; }
};

// "17.28 GiB of weights, 3.00 GiB of KV cache for 32768 positions, 0.41 GiB of work space for 2048 rows".
std::string to_string(const CapacityPlan& plan);

// The model_load error of every backend whose device is too small: what was planned, what the device has or
// said, and the way out.
Error does_not_fit(const CapacityPlan& plan, std::string device, std::string actual);

}  // namespace trine::device
