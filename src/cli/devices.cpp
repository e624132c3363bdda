#include "backend/registry.h"
#include "base/affinity.h"
#include "base/human.h"
#include "base/system.h"
#include "base/topology.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/terminal_text.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#ifdef TRINE_HAS_CPU
#include "cpu/device.h"
#endif
#ifdef TRINE_HAS_WGPU
#include "wgpu/adapter.h"
#endif

namespace trine::cli {
namespace {

struct Isa {
  std::string name;
  bool available = false;
};

std::vector<Isa> cpu_isas() {
  std::vector<Isa> isas;
#ifdef TRINE_HAS_CPU
  for (const cpu::IsaSupport& isa : cpu::list_isas()) isas.push_back({isa.name, isa.available});
#endif
  return isas;
}

// What TRINE_CPU names; empty where there is nothing to be chosen.
std::string cpu_of_environment() {
#ifdef TRINE_HAS_CPU
  return cpu::isa_of_environment();
#else
  return {};
#endif
}

bool is_built(std::string_view name) {
  return backend::find_backend(name)->built;
}

#ifdef TRINE_HAS_WGPU
std::vector<std::string> feature_names(const wgpu::AdapterFeatures& features) {
  std::vector<std::string> names;
  if (features.subgroups) names.emplace_back("subgroups");
  if (features.f16) names.emplace_back("f16");
  if (features.timestamps) names.emplace_back("timestamps");
  if (features.integer_dot) names.emplace_back("integer-dot");
  return names;
}

nlohmann::ordered_json adapter_json(const wgpu::Adapter& adapter) {
  const wgpu::AdapterLimits& limits = adapter.limits;
  return {{"name", adapter.name},
          {"type", adapter.type},
          {"api", adapter.api},
          {"driver", adapter.driver},
          {"limits",
           {{"max_buffer_bytes", limits.max_buffer_bytes},
            {"max_storage_binding_bytes", limits.max_storage_binding_bytes},
            {"max_storage_buffers_per_kernel", limits.max_storage_buffers},
            {"max_workgroup_bytes", limits.max_workgroup_bytes},
            {"max_workgroup_invocations", limits.max_workgroup_invocations}}},
          {"features", feature_names(adapter.features)},
          {"chosen", adapter.chosen},
          {"reason", adapter.reason}};
}

std::string adapter_text(std::size_t index, const wgpu::Adapter& adapter) {
  const wgpu::AdapterLimits& limits = adapter.limits;
  constexpr std::string_view indent = "           ";
  std::string text = fmt::format("        {}  {}\n", index, adapter.name);
  text += fmt::format("{}{}, {}, {}\n", indent, adapter.type, adapter.api, adapter.driver);
  text += fmt::format("{}buffers of {}, bindings of {}, {} a kernel\n", indent,
                      human_bytes(limits.max_buffer_bytes), human_bytes(limits.max_storage_binding_bytes),
                      limits.max_storage_buffers);
  text += fmt::format("{}workgroups of {} invocations with {}\n", indent, limits.max_workgroup_invocations,
                      human_bytes(limits.max_workgroup_bytes));
  text += fmt::format("{}{}\n", indent, fmt::join(feature_names(adapter.features), ", "));
  return text + fmt::format("{}{}: {}\n", indent, adapter.chosen ? "chosen" : "not chosen", adapter.reason);
}
#endif

// A build without the backend cannot list adapters: it lacks what asks for them.
nlohmann::ordered_json wgpu_json() {
  nlohmann::ordered_json json = {{"name", "wgpu"}, {"built", is_built("wgpu")}};
#ifdef TRINE_HAS_WGPU
  const Result<std::vector<wgpu::Adapter>> adapters = wgpu::list_adapters();
  json["adapters"] = nlohmann::ordered_json::array();
  if (!adapters) {
    json["unavailable"] = to_string(adapters.error());
    return json;
  }
  for (const wgpu::Adapter& adapter : *adapters) json["adapters"].push_back(adapter_json(adapter));
#endif
  return json;
}

std::string wgpu_text() {
  std::string text = fmt::format("wgpu    {}\n", is_built("wgpu") ? "built" : "not built");
#ifdef TRINE_HAS_WGPU
  const Result<std::vector<wgpu::Adapter>> adapters = wgpu::list_adapters();
  if (!adapters) return text + fmt::format("        unavailable: {}\n", to_string(adapters.error()));
  for (std::size_t i = 0; i < adapters->size(); ++i) text += adapter_text(i, (*adapters)[i]);
#endif
  return text;
}

// Of the cores that this process may use.
nlohmann::ordered_json topology_json() {
  const Topology topology = read_topology(allowed_threads());
  nlohmann::ordered_json json = {{"physical_cores", topology.cores.size()},
                                 {"performance_cores", topology.cores_of(CoreKind::performance)},
                                 {"efficiency_cores", topology.cores_of(CoreKind::efficiency)},
                                 {"hardware_threads", topology.threads()},
                                 {"nodes", topology.nodes().size()}};
  if (const std::optional<double> quota = core_quota()) json["quota"] = *quota;
  json["default_threads"] = default_threads(topology);
  return json;
}

std::string cores_text() {
  const Topology topology = read_topology(allowed_threads());
  const int efficiency = topology.cores_of(CoreKind::efficiency);
  std::string text = fmt::format("cores   {}", topology.cores.size());
  if (efficiency > 0)
    text +=
        fmt::format(" ({} performance, {} efficiency)", topology.cores_of(CoreKind::performance), efficiency);
  if (const std::size_t nodes = topology.nodes().size(); nodes > 1)
    text += fmt::format(" on {} NUMA nodes", nodes);
  text += fmt::format(", with {} of {} hardware threads, available to this process\n", topology.threads(),
                      online_cores());
  text += fmt::format("threads {} by default", default_threads(topology));
  if (const std::optional<double> quota = core_quota())
    text += fmt::format("; its control group has time for {:g} cores", *quota);
  return text + "\n";
}

nlohmann::ordered_json devices_json() {
  nlohmann::ordered_json isas = nlohmann::ordered_json::array();
  for (const Isa& isa : cpu_isas()) isas.push_back({{"name", isa.name}, {"available", isa.available}});
  nlohmann::ordered_json cpu = {{"name", "cpu"}, {"built", is_built("cpu")}, {"isas", isas}};
  if (const std::string name = cpu_of_environment(); !name.empty())
    cpu["environment"] = {{"TRINE_CPU", name}};
  return {{"backends", {cpu, {{"name", "cuda"}, {"built", is_built("cuda")}}, wgpu_json()}},
          {"cpu",
           {{"name", processor_name()},
            {"cores", online_cores()},
            {"cores_available", available_cores()},
            {"topology", topology_json()},
            {"last_level_cache_bytes", last_level_cache()}}},
          {"memory", {{"total_bytes", total_memory()}, {"available_bytes", available_memory().value_or(0)}}}};
}

Result<int> show_devices(bool json) {
  backend::install_abort_handlers();
  if (json) {
    write_json(devices_json().dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    return 0;
  }
  write_out(fmt::format("cpu     {}\n", is_built("cpu") ? processor_name() : "not built (TRINE_CPU=OFF)"));
  for (const Isa& isa : cpu_isas()) {
    write_out(
        fmt::format("        {:<12}{}\n", isa.name, isa.available ? "available" : "not on this processor"));
  }
  if (const std::string name = cpu_of_environment(); !name.empty()) {
    const std::vector<Isa> isas = cpu_isas();
    const bool here = std::any_of(isas.begin(), isas.end(),
                                  [&](const Isa& isa) { return isa.available && isa.name == name; });
    write_out(
        fmt::format("        TRINE_CPU={} {}\n", printable(name),
                    here ? "is what the CPU backend runs without --device" : "asks for what is not here"));
  }
  write_out(fmt::format("cuda    {}\n", is_built("cuda") ? "built" : "not built"));
  write_out(wgpu_text() + "\n");
  write_out(cores_text());
  if (last_level_cache() > 0)
    write_out(fmt::format("cache   {} last level\n", human_bytes(last_level_cache())));
  write_out(fmt::format("memory  {} total, {} available\n", human_bytes(total_memory()),
                        human_bytes(available_memory().value_or(0))));
  return 0;
}

}  // namespace

Action define_devices(CLI::App& app) {
  const auto json = std::make_shared<bool>(false);
  describe(app, "Shows the backends of this build and what this machine offers them.");
  add_flag(app, "--json", *json, "print one JSON object");
  set_footer(app,
             "Examples:\n"
             "  trine devices\n"
             "  trine run --device portable \"Hello\"    run on one of the instruction sets listed\n"
             "  TRINE_CPU=portable trine bench           the same for commands without --device\n"
             "A WebGPU adapter is named by its index or a part of its name.");
  return [json] { return show_devices(*json); };
}

}  // namespace trine::cli
