#include "cpu/device.h"

#include "cpu/kernels/kernels.h"
#include "model/device_names.h"

#include <fstream>
#include <string_view>

namespace trine::cpu {
namespace {

// The value behind "key : value" in a /proc text file, or "" when there is none.
std::string proc_field(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

}  // namespace

std::vector<IsaSupport> list_isas() {
  std::vector<IsaSupport> list;
#if defined(TRINE_X86_KERNELS)
  for (const char* name : {"portable", "avx2", "avx512vnni"})
#else
  for (const char* name : {"portable"})
#endif
    list.push_back({name, find_kernels(name) != nullptr});
  return list;
}

std::string processor_name() {
  for (const char* key : {"model name", "Model", "cpu model"}) {
    if (std::string name = proc_field("/proc/cpuinfo", key); !name.empty()) return name;
  }
  return "unknown processor";
}

std::uint64_t available_memory() {
  const std::string text = proc_field("/proc/meminfo", "MemAvailable");
  return text.empty() ? 0 : std::stoull(text) * 1024;  // stated in kB
}

model::DeviceInfo describe_device(std::string_view isa, int threads, model::Numerics numerics) {
  model::DeviceInfo info;
  info.backend = "cpu";
  info.name = processor_name();
  info.type = model::cpu_type;
  info.api = isa;
  info.threads = threads;
  info.numerics = numerics;
  info.stage_place.fill("device");
  return info;
}

}  // namespace trine::cpu
