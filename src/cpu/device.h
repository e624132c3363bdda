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

// Slowest first; the last available one is what runs where nothing else is asked for.
std::vector<IsaSupport> list_isas();

// What the environment variable TRINE_CPU asks for, and empty when nothing: an instruction set for every
// command that names no device.
std::string isa_of_environment();

// Without where stages ran, which a model notes as it runs.
model::DeviceInfo describe_device(std::string_view isa, int threads, model::Numerics numerics);

}  // namespace trine::cpu
