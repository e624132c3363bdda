#pragma once

#include "model/config.h"
#include "model/device_model.h"
#include "wgpu/kernel_cache.h"
#include "wgpu/weights.h"
#include "wgpu/workspace.h"

#include <string>
#include <string_view>

namespace trine::wgpu {

// What the operations of a pass are made from.
struct Builder {
  KernelCache& kernels;
  const Workspace& work;
  const model::Config& config;
  model::Numerics numerics;

  // Whether kernels read this matrix's activations as 8-bit blocks.
  bool reads_q8(const Matrix& matrix) const;
};

// The libraries that read a matrix, named `as` when it is not "weights".
std::string quant_file(const Matrix& matrix, std::string_view as = {});
// Appends what multiplies activations from memory, f32 or 8-bit blocks.
void append_numerics(ShaderSource& source, bool reads_q8);

}  // namespace trine::wgpu
