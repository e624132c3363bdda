#pragma once

#include "base/error.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trine::wgpu {

// What an adapter allows, in the units of the WebGPU specification (https://www.w3.org/TR/webgpu/#limits).
struct AdapterLimits {
  std::uint64_t max_buffer_bytes = 0;
  std::uint64_t max_storage_binding_bytes = 0;  // one binding; 128 MiB to 2 GiB
  std::uint64_t max_uniform_binding_bytes = 0;
  std::uint32_t max_storage_buffers = 0;  // bound in one kernel
  std::uint32_t max_workgroup_bytes = 0;  // var<workgroup> memory
  std::uint32_t max_workgroup_invocations = 0;
  std::uint32_t max_workgroups_per_dimension = 0;
  std::uint32_t storage_offset_alignment = 0;  // of a binding's offset, in bytes
};

struct AdapterFeatures {
  bool subgroups = false;    // subgroupAdd and its kind; this library refuses `enable subgroups;`
  bool f16 = false;          // after `enable f16;`
  bool timestamps = false;   // between the dispatches of a pass
  bool integer_dot = false;  // dot4I8Packed, the WGSL language feature packed_4x8_integer_dot_product
};

// One way to reach one device: a GPU may be listed once per API.
struct Adapter {
  std::string name;    // "NVIDIA H200", as the driver gives it
  std::string type;    // "discrete-gpu", "integrated-gpu", "software", "other"
  std::string api;     // "Vulkan", "Metal", "DirectX 12"
  std::string driver;  // name and version
  AdapterLimits limits;
  AdapterFeatures features;
  bool chosen = false;
  std::string reason;  // why it was chosen, or why not
};

// Every adapter of this machine, in the order the system lists them; the index into it is what `--device 0`
// means. `device` is the user's wish: empty for the best (discrete, then integrated; never a software
// adapter), else an index or a part of the name in any case. At most one is chosen; each says why or why not.
// Errors: backend_unavailable (no library, no Vulkan loader, no adapter at all).
Result<std::vector<Adapter>> list_adapters(std::string_view device = {});

// The chosen one of list_adapters(). Errors: those, and backend_unavailable when none is chosen.
Result<Adapter> choose_adapter(std::string_view device);

}  // namespace trine::wgpu
