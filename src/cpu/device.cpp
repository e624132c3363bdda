#include "cpu/device.h"

#include "base/system.h"
#include "cpu/kernels/kernels.h"
#include "model/device_names.h"

#include <cstdlib>

namespace trine::cpu {

std::vector<IsaSupport> list_isas() {
  std::vector<IsaSupport> list;
  for (const char* name : isa_names()) list.push_back({name, find_kernels(name) != nullptr});
  return list;
}

std::string isa_of_environment() {
  const char* name = std::getenv("TRINE_CPU");
  return name == nullptr ? "" : name;
}

model::DeviceInfo describe_device(std::string_view isa, int threads, model::Numerics numerics) {
  model::DeviceInfo info;
  info.backend = "cpu";
  info.name = processor_name();
  info.type = model::cpu_type;
  info.api = isa;
  info.threads = threads;
  info.numerics = numerics;
  return info;
}

}  // namespace trine::cpu
