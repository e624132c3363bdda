#include "backend/registry.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/options.h"
#include "trine_version.h"

#include <fmt/ranges.h>
#include <memory>
#include <nlohmann/json.hpp>

namespace trine::cli {
namespace {

std::vector<std::string> built_backends() {
  std::vector<std::string> names;
  for (const backend::BackendEntry& entry : backend::backends())
    if (entry.built) names.emplace_back(entry.name);
  return names;
}

Result<int> show_version(bool json) {
  const std::vector<std::string> backends = built_backends();
  if (json) {
    const nlohmann::ordered_json out = {{"version", TRINE_VERSION},
                                        {"commit", TRINE_COMMIT},
                                        {"compiler", TRINE_COMPILER},
                                        {"build_type", TRINE_BUILD_TYPE},
                                        {"backends", backends}};
    write_json(out.dump(2) + "\n");
    return 0;
  }
  write_out(fmt::format("trine {}\n  commit      {}\n  compiler    {}\n  build type  {}\n  backends    {}\n",
                        TRINE_VERSION, TRINE_COMMIT, TRINE_COMPILER, TRINE_BUILD_TYPE,
                        backends.empty() ? "none" : fmt::format("{}", fmt::join(backends, ", "))));
  return 0;
}

}  // namespace

Action define_version(CLI::App& app) {
  const auto json = std::make_shared<bool>(false);
  describe(app, "Shows the version, the commit it was built from, the compiler and the backends built in.");
  add_flag(app, "--json", *json, "print one JSON object");
  return [json] { return show_version(*json); };
}

}  // namespace trine::cli
