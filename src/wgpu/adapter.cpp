#include "wgpu/adapter.h"

#include "wgpu/adapter_handle.h"
#include "wgpu/library.h"
#include "wgpu/quiet_stderr.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <algorithm>
#include <cctype>
#include <mutex>
#include <optional>

namespace trine::wgpu {
namespace {

struct Listed {
  std::vector<Adapter> adapters;
  std::vector<AdapterHandle> handles;  // of each
};

// One per process and never released: it costs some 100 ms, and drivers do not like being loaded twice.
WGPUInstance process_instance() {
  static const WGPUInstance instance = [] {
    WGPUInstanceExtras extras = {};
    extras.chain.sType = static_cast<WGPUSType>(WGPUSType_InstanceExtras);
    // OpenGL is left out: its compute is a subset.
    extras.backends = WGPUInstanceBackend_Vulkan | WGPUInstanceBackend_Metal | WGPUInstanceBackend_DX12;
    extras.flags = WGPUInstanceFlag_AllowUnderlyingNoncompliantAdapter;
    WGPUInstanceDescriptor descriptor = {};
    descriptor.nextInChain = &extras.chain;
    return api().CreateInstance(&descriptor);
  }();
  return instance;
}

std::string type_name(WGPUAdapterType type) {
  switch (type) {
    case WGPUAdapterType_DiscreteGPU:
      return "discrete-gpu";
    case WGPUAdapterType_IntegratedGPU:
      return "integrated-gpu";
    case WGPUAdapterType_CPU:
      return "software";
    default:
      return "other";
  }
}

std::string api_name(WGPUBackendType type) {
  switch (type) {
    case WGPUBackendType_Vulkan:
      return "Vulkan";
    case WGPUBackendType_Metal:
      return "Metal";
    case WGPUBackendType_D3D12:
      return "DirectX 12";
    default:
      return "other";
  }
}

AdapterLimits read_limits(WGPUAdapter handle) {
  WGPULimits limits = {};
  api().AdapterGetLimits(handle, &limits);
  AdapterLimits out;
  out.max_buffer_bytes = limits.maxBufferSize;
  out.max_storage_binding_bytes = limits.maxStorageBufferBindingSize;
  out.max_uniform_binding_bytes = limits.maxUniformBufferBindingSize;
  out.max_storage_buffers = limits.maxStorageBuffersPerShaderStage;
  out.max_workgroup_bytes = limits.maxComputeWorkgroupStorageSize;
  out.max_workgroup_invocations = limits.maxComputeInvocationsPerWorkgroup;
  out.max_workgroups_per_dimension = limits.maxComputeWorkgroupsPerDimension;
  out.storage_offset_alignment = limits.minStorageBufferOffsetAlignment;
  return out;
}

AdapterFeatures read_features(WGPUAdapter handle) {
  const auto has = [handle](auto feature) {
    return api().AdapterHasFeature(handle, static_cast<WGPUFeatureName>(feature)) != 0;
  };
  AdapterFeatures features;
  features.subgroups = has(WGPUNativeFeature_Subgroup);
  features.f16 = has(WGPUFeatureName_ShaderF16);
  features.timestamps =
      has(WGPUFeatureName_TimestampQuery) && has(WGPUNativeFeature_TimestampQueryInsidePasses);
  // A feature of the language, which this library has on every adapter. (It cannot be asked for it:
  // wgpuInstanceHasWGSLLanguageFeature aborts.)
  features.integer_dot = true;
  return features;
}

Adapter read_adapter(WGPUAdapter handle) {
  WGPUAdapterInfo info = {};
  api().AdapterGetInfo(handle, &info);
  Adapter adapter;
  adapter.name = to_string(info.device);
  adapter.type = type_name(info.adapterType);
  adapter.api = api_name(info.backendType);
  adapter.driver = to_string(info.vendor);
  const std::string version = to_string(info.description);
  if (!version.empty()) adapter.driver += (adapter.driver.empty() ? "" : " ") + version;
  api().AdapterInfoFreeMembers(info);
  adapter.limits = read_limits(handle);
  adapter.features = read_features(handle);
  return adapter;
}

Error nothing_there(const std::string& said) {
  Error error{.code = ErrorCode::backend_unavailable, .what = "there is no WebGPU adapter", .actual = said};
#if defined(__linux__)
  if (void* loader = ::dlopen("libvulkan.so.1", RTLD_LAZY | RTLD_LOCAL); loader != nullptr) {
    ::dlclose(loader);
    error.hint =
        "Install the GPU's Vulkan driver (in a container NVIDIA's needs libegl1 and libgl1 as well), or "
        "mesa-vulkan-drivers for one that runs on the CPU";
  } else {
    error.what += ": the Vulkan loader is missing";
    error.hint = "Install libvulkan1 and the GPU's Vulkan driver";
  }
#endif
  return error;
}

Result<Listed> enumerate() {
  TRINE_CHECK_OK(load_library());
  // Drivers talk to stderr while they are looked for, about the desktop that is not there for example.
  const QuietStderr quiet;
  const InLibrary inside;
  WGPUInstance instance = process_instance();
  std::vector<WGPUAdapter> found;
  if (instance != nullptr) {
    // The second call looks again and may find fewer.
    found.resize(api().InstanceEnumerateAdapters(instance, nullptr, nullptr));
    if (!found.empty())
      found.resize(std::min(found.size(), api().InstanceEnumerateAdapters(instance, nullptr, found.data())));
  }
  Listed listed;
  for (WGPUAdapter handle : found) {
    listed.handles.emplace_back(handle);
    listed.adapters.push_back(read_adapter(handle));
  }
  if (listed.adapters.empty()) return fail(nothing_there(quiet.text()));
  return listed;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// The index that `wish` is: up to three digits, for "4090" is a part of a name.
std::optional<std::size_t> as_index(std::string_view wish) {
  const bool digits = !wish.empty() && wish.size() < 4 &&
                      std::all_of(wish.begin(), wish.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return std::nullopt;
  return static_cast<std::size_t>(std::stoul(std::string(wish)));
}

void choose_best(std::vector<Adapter>& adapters) {
  const auto first = [&](std::string_view type) {
    return std::find_if(adapters.begin(), adapters.end(), [&](const Adapter& a) { return a.type == type; });
  };
  auto best = first("discrete-gpu");
  if (best == adapters.end()) best = first("integrated-gpu");
  for (Adapter& adapter : adapters) {
    if (adapter.type == "software") {
      adapter.reason = "it runs on the CPU, and is used only when --device names it";
    } else if (adapter.type == "other") {
      adapter.reason = "it is no known kind of GPU, and is used only when --device names it";
    } else if (best->type != adapter.type) {
      adapter.reason = "a discrete GPU comes first";
    } else {
      adapter.reason = "another one of its kind is listed before it";
    }
  }
  if (best == adapters.end()) return;
  best->chosen = true;
  best->reason =
      fmt::format("it is the first {} GPU", best->type == "discrete-gpu" ? "discrete" : "integrated");
}

void choose_named(std::vector<Adapter>& adapters, std::string_view wish) {
  const std::optional<std::size_t> index = as_index(wish);
  const std::string part = lower(wish);
  const bool is_blank = wish.find_first_not_of(" \t") == wish.npos;
  bool taken = false;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const bool named = !is_blank && lower(adapters[i].name).find(part) != std::string::npos;
    const bool fits = index ? i == *index : named;
    adapters[i].chosen = fits && !taken;
    taken = taken || fits;
    adapters[i].reason = adapters[i].chosen ? "--device names it"
                         : fits             ? fmt::format("another '{}' is listed before it", wish)
                                            : fmt::format("--device {} names another", wish);
  }
}

void choose(std::vector<Adapter>& adapters, std::string_view wish) {
  if (wish.empty()) {
    choose_best(adapters);
  } else {
    choose_named(adapters, wish);
  }
}

Error none_chosen(const std::vector<Adapter>& adapters, std::string_view wish) {
  std::string list;
  for (std::size_t i = 0; i < adapters.size(); ++i)
    list += fmt::format("{}{} '{}' ({})", i == 0 ? "" : ", ", i, adapters[i].name, adapters[i].type);
  if (wish.empty()) {
    return {.code = ErrorCode::backend_unavailable,
            .what = "no WebGPU adapter is a GPU",
            .actual = list,
            .hint = "--device with a part of its name takes one all the same"};
  }
  return {.code = ErrorCode::backend_unavailable,
          .what = "device not available",
          .where = "--device",
          .expected = "a part of a name, or an index, of: " + list,
          .actual = fmt::format("'{}'", wish),
          .hint = "'trine devices' lists what is here"};
}

}  // namespace

void ReleaseAdapter::operator()(WGPUAdapterImpl* adapter) const noexcept {
  api().AdapterRelease(adapter);
}

Result<std::vector<Adapter>> list_adapters(std::string_view device) {
  TRINE_TRY(Listed listed, enumerate());
  choose(listed.adapters, device);
  return std::move(listed.adapters);
}

Result<ChosenAdapter> take_adapter(std::string_view device) {
  TRINE_TRY(Listed listed, enumerate());
  choose(listed.adapters, device);
  for (std::size_t i = 0; i < listed.adapters.size(); ++i) {
    if (listed.adapters[i].chosen)
      return ChosenAdapter{std::move(listed.adapters[i]), std::move(listed.handles[i])};
  }
  return fail(none_chosen(listed.adapters, device));
}

Result<Adapter> choose_adapter(std::string_view device) {
  TRINE_TRY(ChosenAdapter chosen, take_adapter(device));
  return std::move(chosen.adapter);
}

}  // namespace trine::wgpu
