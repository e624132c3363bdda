#include "backend/registry.h"

#ifdef TRINE_HAS_CPU
#include "cpu/model.h"
#endif
#ifdef TRINE_HAS_WGPU
#include "wgpu/model.h"
#endif

#include <fmt/format.h>
#include <algorithm>
#include <vector>

namespace trine::backend {
namespace {

#ifdef TRINE_HAS_CPU
Result<void> check_cpu_device(const std::string& device) {
  if (device.empty()) return {};
  std::string available;
  std::string actual = fmt::format("'{}', which is no instruction set of this backend", device);
  for (const cpu::IsaSupport& isa : cpu::list_isas()) {
    if (isa.available && isa.name == device) return {};
    if (isa.available) available += (available.empty() ? "" : ", ") + isa.name;
    if (isa.name == device) actual = fmt::format("'{}', which this processor lacks", device);
  }
  return fail({.code = ErrorCode::backend_unavailable,
               .what = "device not available",
               .where = "--device",
               .expected = "one of " + available,
               .actual = actual,
               .hint = "'trine devices' lists what is here"});
}

Result<std::string> cpu_device_type(const std::string& device) {
  TRINE_CHECK_OK(check_cpu_device(device));
  return std::string("cpu");
}

Result<void> check_cpu_without(std::span<const std::string> names) {
  if (names.empty()) return {};
  return fail({.code = ErrorCode::usage,
               .what = "the CPU backend has nothing to leave out",
               .where = "--without",
               .actual = names.front(),
               .hint = "--device names an instruction set; --without is of --backend wgpu"});
}

Result<std::unique_ptr<model::DeviceModel>> load_cpu(const model::Weights& weights,
                                                     const BackendOptions& options) {
  TRINE_CHECK_OK(check_cpu_device(options.device));
  TRINE_CHECK_OK(check_cpu_without(options.without));
  cpu::CpuOptions cpu;
  cpu.threads = options.threads;
  cpu.context = options.context;
  cpu.slots = options.slots;
  cpu.numerics = options.numerics;
  cpu.isa = options.device;
  return cpu::CpuModel::load(weights, cpu);
}
#endif

#ifdef TRINE_HAS_WGPU
Result<void> check_wgpu_device(const std::string& device) {
  TRINE_CHECK_OK(wgpu::choose_adapter(device));
  return {};
}

Result<std::string> wgpu_device_type(const std::string& device) {
  TRINE_TRY(wgpu::Adapter adapter, wgpu::choose_adapter(device));
  return std::move(adapter.type);
}

Result<void> check_wgpu_without(std::span<const std::string> names) {
  TRINE_CHECK_OK(wgpu::variants_without(names));
  return {};
}

Result<std::unique_ptr<model::DeviceModel>> load_wgpu(const model::Weights& weights,
                                                      const BackendOptions& options) {
  wgpu::WgpuOptions wgpu;
  wgpu.device = options.device;
  wgpu.context = options.context;
  wgpu.slots = options.slots;
  wgpu.numerics = options.numerics;
  wgpu.threads = options.threads;
  wgpu.without = options.without;
  wgpu.self_test = options.self_test;
  return wgpu::WgpuModel::load(weights, wgpu);
}
#endif

constexpr BackendEntry table[] = {
#ifdef TRINE_HAS_CPU
    {"cpu", false, true, "", check_cpu_device, cpu_device_type, check_cpu_without, load_cpu},
#else
    {"cpu", false, false, "built with TRINE_CPU=OFF", nullptr, nullptr, nullptr, nullptr},
#endif
    {"cuda", true, false, "this build has no cuda backend", nullptr, nullptr, nullptr, nullptr},
#ifdef TRINE_HAS_WGPU
    {"wgpu", true, true, "", check_wgpu_device, wgpu_device_type, check_wgpu_without, load_wgpu},
#else
    {"wgpu", true, false, "built with TRINE_WGPU=OFF", nullptr, nullptr, nullptr, nullptr},
#endif
};

Error not_built(std::string_view name) {
  return {.code = ErrorCode::feature_missing,
          .what = fmt::format("this build has no {} backend", name),
          .hint = "'trine devices' lists what this build has"};
}

// The last backend of the table that has the device; the first that is built when none has.
Result<Choice> choose_best(const std::string& device) {
  Choice choice;
  std::string passed_over;
  std::size_t built = 0;
  for (const BackendEntry& entry : table) built += entry.built ? 1 : 0;
  for (auto entry = std::rbegin(table); entry != std::rend(table); ++entry) {
    if (!entry->built) continue;
    choice.entry = &*entry;
    const Result<void> here = entry->check_device(device);
    if (here) break;
    if (entry->is_gpu) passed_over += fmt::format("; not {}: {}", entry->name, here.error().what);
  }
  if (choice.entry == nullptr) return fail(not_built("compute"));
  choice.reason = fmt::format("auto chose {}{}{}", choice.entry->name,
                              built == 1 ? ", the only backend of this build" : "", passed_over);
  return choice;
}

}  // namespace

std::span<const BackendEntry> backends() {
  return table;
}

const BackendEntry* find_backend(std::string_view name) {
  for (const BackendEntry& entry : table)
    if (entry.name == name) return &entry;
  return nullptr;
}

Result<Choice> choose_backend(std::string_view name, const std::string& device) {
  if (name == "auto") return choose_best(device);
  const BackendEntry* entry = find_backend(name);
  if (entry == nullptr) {
    std::string known;
    for (const BackendEntry& one : table) known += (known.empty() ? "" : ", ") + std::string(one.name);
    return fail({.code = ErrorCode::usage,
                 .what = "there is no such backend",
                 .expected = "one of " + known,
                 .actual = std::string(name)});
  }
  if (!entry->built) return fail(not_built(name));
  return Choice{entry, "as asked"};
}

Result<std::unique_ptr<model::DeviceModel>> load_model(std::string_view name, const model::Weights& weights,
                                                       const BackendOptions& options) {
  TRINE_TRY(const Choice choice, choose_backend(name, options.device));
  return choice.entry->load(weights, options);
}

}  // namespace trine::backend
