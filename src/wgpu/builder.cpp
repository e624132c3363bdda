#include "wgpu/builder.h"

#include "wgpu/repack.h"

#include <fmt/format.h>

namespace trine::wgpu {

bool Builder::reads_q8(const Matrix& matrix) const {
  return numerics == model::Numerics::fast && has_integer_dot(matrix.type);
}

std::string quant_file(const Matrix& matrix, std::string_view as) {
  const std::string_view library = quant_library(matrix.type);
  return as.empty() ? std::string(library) : fmt::format("{} as {}", library, as);
}

void append_numerics(ShaderSource& source, bool reads_q8) {
  source.files.emplace_back("quant_common.wgsl");
  source.files.emplace_back(reads_q8 ? "numerics_fast.wgsl" : "numerics_exact.wgsl");
  if (reads_q8) source.files.emplace_back("activations_q8.wgsl");
}

}  // namespace trine::wgpu
