#include "base/thread_pool.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/system.h"

#include <memory>
#include <nlohmann/json.hpp>
#ifdef TRINE_HAS_CPU
#include "cpu/model.h"
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

bool cpu_is_built() {
#ifdef TRINE_HAS_CPU
  return true;
#else
  return false;
#endif
}

nlohmann::ordered_json devices_json() {
  nlohmann::ordered_json isas = nlohmann::ordered_json::array();
  for (const Isa& isa : cpu_isas()) isas.push_back({{"name", isa.name}, {"available", isa.available}});
  return {{"backends",
           {{{"name", "cpu"}, {"built", cpu_is_built()}, {"isas", isas}},
            {{"name", "cuda"}, {"built", false}},
            {{"name", "wgpu"}, {"built", false}}}},
          {"cpu",
           {{"name", cpu_name()},
            {"cores", online_cores()},
            {"cores_available", available_cores()},
            {"last_level_cache_bytes", last_level_cache()}}},
          {"memory", {{"total_bytes", total_memory()}, {"available_bytes", available_memory()}}}};
}

Result<int> show_devices(bool json) {
  if (json) {
    write_out(devices_json().dump(2) + "\n");
    return 0;
  }
  write_out(fmt::format("cpu     {}\n", cpu_is_built() ? cpu_name() : "not built (TRINE_CPU=OFF)"));
  for (const Isa& isa : cpu_isas()) {
    write_out(
        fmt::format("        {:<12}{}\n", isa.name, isa.available ? "available" : "not on this processor"));
  }
  write_out("cuda    not built\n");
  write_out("wgpu    not built\n\n");
  write_out(fmt::format("cores   {} of {} available to this process\n", available_cores(), online_cores()));
  if (last_level_cache() > 0)
    write_out(fmt::format("cache   {} last level\n", human_bytes(last_level_cache())));
  write_out(fmt::format("memory  {} total, {} available\n", human_bytes(total_memory()),
                        human_bytes(available_memory())));
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
             "  trine run --device portable \"Hello\"    run on one of the instruction sets listed");
  return [json] { return show_devices(*json); };
}

}  // namespace trine::cli
