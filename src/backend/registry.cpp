#include "backend/registry.h"

#ifdef TRINE_HAS_CPU
#include "cpu/model.h"
#endif
#ifdef TRINE_HAS_WGPU
#include "wgpu/abort_handler.h"
#include "wgpu/model.h"
#endif

#include <fmt/format.h>
#include <algorithm>
#include <iterator>

namespace trine::backend {
namespace {

// What the classes of all backends have in common: these four functions.
template <typename Model>
constexpr BackendEntry built(std::string_view name, bool is_gpu) {
  const auto load = [](const model::Weights& weights,
                       const model::LoadOptions& options) -> Result<std::unique_ptr<model::DeviceModel>> {
    return Model::load(weights, options);
  };
  return {name, is_gpu, true, "", Model::check_device, Model::device_type, Model::check_without, load};
}

constexpr BackendEntry missing(std::string_view name, bool is_gpu, std::string_view because) {
  return {.name = name, .is_gpu = is_gpu, .not_built_because = because};
}

constexpr BackendEntry table[] = {
#ifdef TRINE_HAS_CPU
    built<cpu::CpuModel>("cpu", false),
#else
    missing("cpu", false, "built with TRINE_CPU=OFF"),
#endif
    missing("cuda", true, "this build has no cuda backend"),
#ifdef TRINE_HAS_WGPU
    built<wgpu::WgpuModel>("wgpu", true),
#else
    missing("wgpu", true, "built with TRINE_WGPU=OFF"),
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

void install_abort_handlers() {
#ifdef TRINE_HAS_WGPU
  wgpu::install_abort_handler();
#endif
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
                                                       const model::LoadOptions& options) {
  TRINE_TRY(const Choice choice, choose_backend(name, options.device));
  return choice.entry->load(weights, options);
}

}  // namespace trine::backend
