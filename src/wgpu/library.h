#pragma once

#include "base/error.h"

#include <wgpu.h>
#include <cstdint>
#include <string>

// Every function of the WebGPU library that this folder calls, without its prefix `wgpu`.
#define TRINE_WGPU_FUNCTIONS(X)           \
  X(AdapterGetInfo)                       \
  X(AdapterGetLimits)                     \
  X(AdapterHasFeature)                    \
  X(AdapterInfoFreeMembers)               \
  X(AdapterRelease)                       \
  X(AdapterRequestDevice)                 \
  X(BindGroupLayoutRelease)               \
  X(BindGroupRelease)                     \
  X(BufferGetConstMappedRange)            \
  X(BufferMapAsync)                       \
  X(BufferRelease)                        \
  X(BufferUnmap)                          \
  X(CommandBufferRelease)                 \
  X(CommandEncoderBeginComputePass)       \
  X(CommandEncoderClearBuffer)            \
  X(CommandEncoderCopyBufferToBuffer)     \
  X(CommandEncoderFinish)                 \
  X(CommandEncoderRelease)                \
  X(CommandEncoderResolveQuerySet)        \
  X(ComputePassEncoderDispatchWorkgroups) \
  X(ComputePassEncoderEnd)                \
  X(ComputePassEncoderRelease)            \
  X(ComputePassEncoderSetBindGroup)       \
  X(ComputePassEncoderSetPipeline)        \
  X(ComputePassEncoderWriteTimestamp)     \
  X(ComputePipelineRelease)               \
  X(CreateInstance)                       \
  X(DeviceCreateBindGroup)                \
  X(DeviceCreateBindGroupLayout)          \
  X(DeviceCreateBuffer)                   \
  X(DeviceCreateCommandEncoder)           \
  X(DeviceCreateComputePipeline)          \
  X(DeviceCreatePipelineLayout)           \
  X(DeviceCreateQuerySet)                 \
  X(DeviceCreateShaderModule)             \
  X(DeviceCreateShaderModuleTrusted)      \
  X(DeviceDestroy)                        \
  X(DeviceGetQueue)                       \
  X(DevicePoll)                           \
  X(DeviceRelease)                        \
  X(GetVersion)                           \
  X(InstanceEnumerateAdapters)            \
  X(PipelineLayoutRelease)                \
  X(QuerySetRelease)                      \
  X(QueueGetTimestampPeriod)              \
  X(QueueOnSubmittedWorkDone)             \
  X(QueueRelease)                         \
  X(QueueSubmit)                          \
  X(QueueWriteBuffer)                     \
  X(ShaderModuleRelease)

namespace trine::wgpu {

// wgpu-native (https://github.com/gfx-rs/wgpu-native), loaded at run time: a build needs its headers only,
// and a machine without it runs everything else. Called as api().QueueSubmit(...).
struct Library {
// NOLINTNEXTLINE(bugprone-macro-parentheses)
#define TRINE_WGPU_MEMBER(name) decltype(&::wgpu##name) name = nullptr;
  TRINE_WGPU_FUNCTIONS(TRINE_WGPU_MEMBER)
#undef TRINE_WGPU_MEMBER
  std::string path;     // as it was found
  std::string version;  // "29.0.1.1"
};

// The major version whose headers this build has; its ABI changes with each.
inline constexpr std::uint32_t library_major_version = 29;

// Opens the library: TRINE_WGPU_LIBRARY when the variable is set, else beside the executable, in ../lib/trine
// from there, and where the system's loader looks. The first success lasts as long as the process.
// Errors: backend_unavailable (not found, not a wgpu-native, another major version).
Result<const Library*> load_library();

// Opens this one, and leaves the process's library as it is. Errors: as load_library().
Result<Library> open_library(const std::string& path);

// What load_library() returned; calling it before is a bug.
const Library& api();

// Marks the calls of the library that may abort, so that abort_handler.cpp can tell its aborts from
// those of check().
class InLibrary {
 public:
  InLibrary() { ++depth; }
  ~InLibrary() { --depth; }
  InLibrary(const InLibrary&) = delete;
  InLibrary& operator=(const InLibrary&) = delete;

  inline static thread_local int depth = 0;
};

inline WGPUStringView to_view(std::string_view text) {
  return {text.data(), text.size()};
}
inline std::string to_string(WGPUStringView view) {
  if (view.data == nullptr) return {};
  return view.length == WGPU_STRLEN ? std::string(view.data) : std::string(view.data, view.length);
}

}  // namespace trine::wgpu
