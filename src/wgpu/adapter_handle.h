#pragma once

#include "wgpu/adapter.h"

#include <memory>
#include <string_view>

struct WGPUAdapterImpl;

namespace trine::wgpu {

// The library's side of an Adapter, for gpu.cpp to open a device of.
struct ReleaseAdapter {
  void operator()(WGPUAdapterImpl* adapter) const noexcept;
};
using AdapterHandle = std::unique_ptr<WGPUAdapterImpl, ReleaseAdapter>;

struct ChosenAdapter {
  Adapter adapter;
  AdapterHandle handle;
};

// choose_adapter(), with its handle. Errors: the same.
Result<ChosenAdapter> take_adapter(std::string_view device);

}  // namespace trine::wgpu
