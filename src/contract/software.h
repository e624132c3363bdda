#pragma once

#include "model/device_model.h"

#include <string>
#include <string_view>

namespace trine::contract {

// A GPU's API on the processor (Mesa's lavapipe, SwiftShader, WARP): the same kernels, so its answers are
// judged like a GPU's, and no GPU, so nothing that is said of one may rest on it.

inline constexpr std::string_view software_type = "software";
inline constexpr std::string_view software_note = "software adapter: correctness only, counts as no GPU";

// Whether a device says so itself.
bool is_software(const model::DeviceInfo& device);

// The software adapter that a device's name or driver gives away, whatever its type claims: "llvmpipe"; else
// empty.
std::string_view named_software(const model::DeviceInfo& device);

// What a device counts as: "gpu", "cpu", or software_note.
std::string_view counts_as(const model::DeviceInfo& device);

}  // namespace trine::contract
