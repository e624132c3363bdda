#include "cpu/device.h"

#include "base/system.h"
#include "cpu/kernels/kernels.h"
#include "model/device_names.h"

namespace trine::cpu {
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
