#pragma once

#include "wgpu/gpu.h"
#include "wgpu/library.h"

#include <memory>
#include <optional>

namespace trine::wgpu {

// What the library's callbacks leave behind; they run inside of calls, on the calling thread.
struct Report {
  std::optional<Error> error;  // the first since it was taken; its `what` and `where` are the caller's to set
  bool lost = false;
  std::string lost_because;
  Submission completed = 0;
};

// Asks for all that the adapter has, less what `features` leaves out; the callbacks write to `report`, which
// must outlive the device. Errors: backend_unavailable.
Result<WGPUDevice> request_device(WGPUAdapter adapter, const Adapter& described,
                                  const AdapterFeatures& features, Report& report);

struct Gpu::State {
  Adapter adapter;
  AdapterFeatures features;
  std::vector<ShaderEdit> shader_edits;
  bool checked_shaders = false;
  WGPUDevice device = nullptr;
  WGPUQueue queue = nullptr;
  std::uint32_t subgroup_size = 0;
  Submission submitted = 0;
  Report report;
  std::shared_ptr<std::uint64_t> held = std::make_shared<std::uint64_t>(0);  // bytes; outlived by buffers

  // The timestamps of the last timed submission, on their way to the host.
  Readback timestamps;
  std::vector<TimedSpan> spans;

  ~State();
  // What the library reported during the call just made, as an Error of that call.
  Result<void> outcome(std::string_view what, std::string_view where);
  // To ask before a call. Errors: inference, when the device is lost.
  Result<void> alive() const;
};

// The host's view of a Readback, shared with the callback that fills it in.
struct Mapping {
  enum class Step { unmapped, asked, mapped, failed };
  Step step = Step::unmapped;
  std::string message;
  std::shared_ptr<Mapping> kept_for_callback;  // itself, from the call until the callback
};

inline constexpr std::uint32_t timestamps_per_set = 4096;  // the most that WebGPU allows

}  // namespace trine::wgpu
