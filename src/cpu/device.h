#pragma once

#include "model/device_model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace trine::cpu {

// An instruction set with kernels in this build, and whether this processor runs it.
struct IsaSupport {
  std::string name;
  bool available = false;
};

// Slowest first; the last available one is what `auto` takes.
std::vector<IsaSupport> list_isas();

// Without where stages ran, which a model notes as it runs.
model::DeviceInfo describe_device(std::string_view isa, int threads, model::Numerics numerics);

}  // namespace trine::cpu
