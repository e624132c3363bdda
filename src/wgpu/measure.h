#pragma once

#include "model/device_model.h"
#include "wgpu/kernel_cache.h"

#include <functional>
#include <optional>

namespace trine::wgpu {

// Records the pass that is to be timed, all in one submission.
using RecordTimed = std::function<Result<Commands>(Timing timing)>;

// The median of several runs. Errors: inference.
Result<model::StepTime> time_step(Gpu& gpu, bool by_kernel, const RecordTimed& record);

// How fast a kernel reads a buffer that is larger than most caches are; nothing where the device gives no
// timestamps, or has no memory left for the buffer. Errors: inference.
Result<std::optional<model::MemoryRate>> measure_memory(KernelCache& kernels);

}  // namespace trine::wgpu
