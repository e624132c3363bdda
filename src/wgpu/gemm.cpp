#include "wgpu/gemm.h"

#include <algorithm>

namespace trine::wgpu {
namespace {

// A matrix product without its matrices: `team` is that of the mat-vec whose bits it gives.
ShaderSource gemm_source(const GemmTile& tile, std::uint32_t columns, std::uint32_t team, std::uint32_t terms,
                         bool reads_q8) {
  ShaderSource source;
  source.constants = {{"WORKGROUP", tile.workgroup},
                      {"TILE_ROWS", tile.tile_rows},
                      {"TILE", tile.tokens},
                      {"ROWS", tile.rows},
                      {"STEP", reads_q8 ? tile.step : 1},
                      {"TEAM", team},
                      {"TERMS", terms},
                      {"COLUMNS", columns}};
  source.flags = {{"PREFETCH", tile.prefetch}};
  append_numerics(source, reads_q8);
  return source;
}

void append_tile(ShaderSource& source, bool reads_q8) {
  source.files.emplace_back(reads_q8 ? "gemm_fast.wgsl" : "gemm_exact.wgsl");
  source.files.emplace_back("gemm_tile.wgsl");
}

std::uint32_t pairs_of(const Builder& builder) {
  return static_cast<std::uint32_t>(builder.config.experts_per_token);
}

}  // namespace

std::uint32_t most_tiles(const model::Config& config, const Tuning& tuning, std::uint32_t rows) {
  const std::uint32_t pairs = rows * static_cast<std::uint32_t>(config.experts_per_token);
  return std::min(pairs, static_cast<std::uint32_t>(config.n_experts)) + pairs / tuning.gemm_experts.tokens;
}

Result<std::vector<Op>> make_gemm(const Builder& builder, const Projection& p, const GemmTile& tile) {
  KernelCache& kernels = builder.kernels;
  std::vector<Op> ops;
  for (const MatrixPart& part : p.matrix.parts) {
    ShaderSource source =
        gemm_source(tile, p.matrix.columns, kernels.tuning().matvec.team, p.terms, p.reads_q8);
    source.flags.insert(source.flags.end(), {{"RESIDUAL", p.residual != nullptr}, {"LOGITS", p.logits}});
    source.files.push_back(quant_file(p.matrix));
    append_tile(source, p.reads_q8);
    source.files.emplace_back("gemm.wgsl");
    TRINE_TRY(const Bound params, kernels.params({part.count, p.y_stride, p.y_first + part.first}));
    TRINE_TRY(Op op,
              kernels.make("gemm", source,
                           {params, reads(p.x), reads(part.buffer), reads(builder.work.step),
                            reads(p.residual != nullptr ? *p.residual : builder.work.unused), writes(p.y)},
                           divide_up(part.count, tile.tile_rows)));
    op.label = p.label;
    op.variants[0].rows_per_group = tile.tokens;
    ops.push_back(std::move(op));
  }
  return ops;
}

Result<Op> make_gemm_qkv(const Builder& builder, const LayerMatrices& m, const Buffer& x, bool reads_q8) {
  KernelCache& kernels = builder.kernels;
  const GemmTile& tile = kernels.tuning().gemm_qkv;
  ShaderSource source =
      gemm_source(tile, m.attn_q.columns, kernels.tuning().matvec.team, reads_q8 ? qkv_terms : 1, reads_q8);
  source.files.insert(source.files.end(), {quant_file(m.attn_q, "query"), quant_file(m.attn_k, "key"),
                                           quant_file(m.attn_v, "value")});
  append_tile(source, reads_q8);
  source.files.emplace_back("gemm_qkv.wgsl");
  TRINE_TRY(const Bound params, kernels.params({m.attn_q.rows, m.attn_k.rows, m.attn_v.rows}));
  std::uint32_t tiles = 0;
  for (const Matrix* matrix : {&m.attn_q, &m.attn_k, &m.attn_v})
    tiles += divide_up(matrix->rows, tile.tile_rows);
  TRINE_TRY(Op op, kernels.make(
                       "gemm_qkv", source,
                       {params, reads(x), reads(m.attn_q.parts[0].buffer), reads(m.attn_k.parts[0].buffer),
                        reads(m.attn_v.parts[0].buffer), reads(builder.work.step), writes(builder.work.qkv)},
                       tiles));
  op.variants[0].rows_per_group = tile.tokens;
  return op;
}

Result<Op> make_group_rows(const Builder& builder) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const auto n_experts = static_cast<std::uint32_t>(builder.config.n_experts);
  ShaderSource source;
  source.constants = {{"WORKGROUP", kernels.tuning().group_rows_workgroup},
                      {"N_EXPERTS", n_experts},
                      {"EXPERTS_PER_TOKEN", pairs_of(builder)},
                      {"TILE", kernels.tuning().gemm_experts.tokens}};
  source.files = {"group_rows.wgsl"};
  TRINE_TRY(const Bound params,
            kernels.params({most_tiles(builder.config, kernels.tuning(), work.capacity.rows)}));
  TRINE_TRY(Op op, kernels.make("group_rows", source,
                                {params, reads(work.step), reads(work.ids), writes(work.groups),
                                 writes(work.pairs), writes(work.tiles)},
                                n_experts));
  op.variants[0].rows_per_group = work.capacity.rows;  // a workgroup an expert, whatever the rows
  return op;
}

Result<std::vector<Op>> make_gemm_gate_up(const Builder& builder, const LayerMatrices& m, const Buffer& x,
                                          bool reads_q8) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const GemmTile& tile = kernels.tuning().gemm_experts;
  ShaderSource source = gemm_source(tile, m.expert_gate.columns, kernels.tuning().gate_up.team, 1, reads_q8);
  source.constants.emplace_back("EXPERTS_PER_TOKEN", pairs_of(builder));
  source.files.insert(source.files.end(), {quant_file(m.expert_gate, "gate"), quant_file(m.expert_up, "up")});
  append_tile(source, reads_q8);
  source.files.insert(source.files.end(), {"swiglu.wgsl", "gemm_gate_up.wgsl"});
  std::vector<Op> ops;
  for (std::size_t i = 0; i < m.expert_gate.parts.size(); ++i) {
    const MatrixPart& gate = m.expert_gate.parts[i];
    TRINE_TRY(const Bound params, kernels.params({m.expert_gate.rows, gate.first, gate.count}));
    TRINE_TRY(Op op, kernels.make("gemm_gate_up", source,
                                  {params, reads(x), reads(gate.buffer), reads(m.expert_up.parts[i].buffer),
                                   reads(work.tiles), reads(work.pairs), writes(work.act_f32)},
                                  divide_up(m.expert_gate.rows, tile.tile_rows / 2)));
    ops.push_back(std::move(op));
  }
  return ops;
}

Result<std::vector<Op>> make_gemm_down(const Builder& builder, const Matrix& matrix, const Buffer& act,
                                       bool reads_q8) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const GemmTile& tile = kernels.tuning().gemm_experts;
  ShaderSource source = gemm_source(tile, matrix.columns, kernels.tuning().down.team, 1, reads_q8);
  source.files.push_back(quant_file(matrix));
  append_tile(source, reads_q8);
  source.files.emplace_back("gemm_down.wgsl");
  std::vector<Op> ops;
  for (const MatrixPart& part : matrix.parts) {
    TRINE_TRY(const Bound params, kernels.params({matrix.rows, part.first, part.count}));
    TRINE_TRY(Op op, kernels.make("gemm_down", source,
                                  {params, reads(act), reads(part.buffer), reads(work.tiles),
                                   reads(work.pairs), writes(work.down)},
                                  divide_up(matrix.rows, tile.tile_rows)));
    ops.push_back(std::move(op));
  }
  return ops;
}

}  // namespace trine::wgpu
