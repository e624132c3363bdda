#include "wgpu/matvec.h"

#include <algorithm>

namespace trine::wgpu {
namespace {

const Tile& tile_for(const Tuning& tuning, std::uint32_t matrix_rows, std::uint32_t tokens) {
  if (tokens > 1) return tuning.matvec_many;
  if (matrix_rows <= tuning.few_rows) return tuning.matvec_few_rows;
  return matrix_rows >= tuning.vocab_rows ? tuning.matvec_vocab_rows : tuning.matvec;
}

}  // namespace

// As matvec_tile.wgsl says.
bool matvec_fits(const KernelCache& kernels, const Tile& tile, std::uint32_t tokens) {
  return tokens == 1 ||
         4 * tile.workgroup * (tile.rows * tokens + 1) <= kernels.gpu().limits().max_workgroup_bytes;
}

ShaderSource matvec_source(const Tile& tile, std::uint32_t tokens, std::uint32_t terms,
                           std::uint32_t columns) {
  ShaderSource source;
  source.constants = {{"WORKGROUP", tile.workgroup},
                      {"TEAM", tile.team},
                      {"ROWS", tile.rows},
                      {"TOKENS", tokens},
                      {"TERMS", terms},
                      {"COLUMNS", columns}};
  return source;
}

Result<std::vector<Op>> make_projection(const Builder& builder, const Projection& p) {
  KernelCache& kernels = builder.kernels;
  std::vector<Op> ops;
  for (const MatrixPart& part : p.matrix.parts) {
    TRINE_TRY(const Bound params, kernels.params({part.count, p.y_stride, p.y_first + part.first}));
    const std::vector<Bound> bound = {params,
                                      reads(p.x),
                                      reads(part.buffer),
                                      reads(builder.work.step),
                                      reads(p.residual != nullptr ? *p.residual : builder.work.unused),
                                      writes(p.y)};
    Op op;
    op.label = p.label;
    for (const std::uint32_t tokens : kernels.tuning().matvec_tokens) {
      const Tile& tile = tile_for(kernels.tuning(), p.matrix.rows, tokens);
      if (!matvec_fits(kernels, tile, tokens)) continue;
      ShaderSource source = matvec_source(tile, tokens, p.terms, p.matrix.columns);
      source.flags = {{"RESIDUAL", p.residual != nullptr}, {"LOGITS", p.logits}};
      append_numerics(source, p.reads_q8);
      source.files.insert(source.files.end(),
                          {quant_file(p.matrix), "matvec_tile.wgsl", "matvec_multiply.wgsl", "matvec.wgsl"});
      TRINE_TRY(const Pipeline* pipeline, kernels.compile("matvec", source, bound));
      const std::uint32_t tiles = divide_up(part.count, tile.matrix_rows());
      const std::uint32_t x = std::min(tiles, kernels.gpu().limits().max_workgroups_per_dimension);
      op.variants.push_back({pipeline, tokens, x, divide_up(tiles, x)});
    }
    TRINE_CHECK_OK(kernels.bind(op, bound));
    ops.push_back(std::move(op));
  }
  return ops;
}

}  // namespace trine::wgpu
