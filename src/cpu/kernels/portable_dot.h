#pragma once

#include <cstdint>

namespace trine::cpu {

// The portable kernels' dot_f32, in a source of its own: tests/mutation compiles a changed one, and
// portable.cpp takes half a minute.
float portable_dot_f32(const float* a, const float* b, std::int64_t n);

}  // namespace trine::cpu
