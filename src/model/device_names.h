#pragma once

#include "model/device_model.h"

#include <string_view>

namespace trine::model {

std::string_view name_of(Numerics numerics);  // "fast", "exact"

// What DeviceInfo::type says.
inline constexpr std::string_view cpu_type = "cpu";
inline constexpr std::string_view discrete_type = "discrete-gpu";
inline constexpr std::string_view integrated_type = "integrated-gpu";
inline constexpr std::string_view virtual_type = "virtual-gpu";
// A GPU's API on the processor (Mesa's lavapipe, SwiftShader, WARP): the same kernels, so its answers are
// judged like a GPU's, and no GPU, so nothing that is said of one may rest on it.
inline constexpr std::string_view software_type = "software";
inline constexpr std::string_view other_type = "other";  // that no driver vouches for

bool is_gpu_type(std::string_view type);
// Whether a device says so itself.
bool is_software(const DeviceInfo& device);

// The software adapter that a device's name or driver gives away, whatever its type claims: "llvmpipe"; else
// empty.
std::string_view named_software(const DeviceInfo& device);

// What a device counts as: "gpu", "cpu", or software_note.
std::string_view counts_as(const DeviceInfo& device);
inline constexpr std::string_view software_note = "software adapter: correctness only, counts as no GPU";

}  // namespace trine::model
