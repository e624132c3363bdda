#pragma once

#include "wgpu/builder.h"

#include <cstdint>

namespace trine::wgpu {

enum class NormOutput { f32, f32_and_q8, f32_and_q8_terms };
// Lanes that a norm over the hidden size is summed over, which decides its bits: a power of two, and of
// threads a workgroup that reductions allow.
std::uint32_t norm_lanes(const Builder& builder);
// Threads of a kernel that computes a norm and multiplies a tile behind it.
std::uint32_t norm_workgroup(const Builder& builder, const Tile& tile);
// The constants, flags and libraries of a kernel that computes a norm over the hidden size. norm_lanes() is a
// multiple of `workgroup`.
ShaderSource norm_source(const Builder& builder, NormOutput output, std::uint32_t workgroup);
// normed = rmsnorm(x)·weight for every row; with `logits`, for those that want them, behind one another.
Result<Op> make_norm(const Builder& builder, const Buffer& x, const Buffer& weight, NormOutput output,
                     bool logits = false);

}  // namespace trine::wgpu
