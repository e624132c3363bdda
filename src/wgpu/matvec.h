#pragma once

#include "wgpu/builder.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace trine::wgpu {

// One matrix times the rows of an activation.
struct Projection {
  std::string_view label;
  const Matrix& matrix;
  const Buffer& x;  // f32, or 8-bit blocks
  bool reads_q8;    // which of the two
  const Buffer& y;  // [rows][y_stride]
  std::uint32_t y_stride;
  std::uint32_t y_first = 0;         // column of y that gets the first matrix row
  const Buffer* residual = nullptr;  // added; another buffer than y
  bool logits = false;               // x has the rows that want logits only
  std::uint32_t terms = 1;           // rows of 8-bit blocks a row
};
// Whether a mat-vec of so many rows of activations has the workgroup memory it needs; with one row it always
// does.
bool matvec_fits(const KernelCache& kernels, const Tile& tile, std::uint32_t tokens);
// The constants of a mat-vec.
ShaderSource matvec_source(const Tile& tile, std::uint32_t tokens, std::uint32_t terms,
                           std::uint32_t columns);
// One Op per part of the matrix.
Result<std::vector<Op>> make_projection(const Builder& builder, const Projection& projection);

}  // namespace trine::wgpu
