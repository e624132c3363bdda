#include "wgpu/experts.h"

#include "wgpu/gemm.h"
#include "wgpu/matvec.h"
#include "wgpu/repack.h"

#include <bit>

namespace trine::wgpu {

using model::Stage;

namespace {

// A mat-vec over the chosen experts, without its matrices.
ShaderSource expert_source(const Builder& builder, const Tile& tile, std::uint32_t columns, bool reads_q8) {
  ShaderSource source;
  source.constants = {{"WORKGROUP", tile.workgroup},
                      {"TEAM", tile.team},
                      {"ROWS", tile.rows},
                      {"COLUMNS", columns},
                      {"EXPERTS_PER_TOKEN", static_cast<std::uint32_t>(builder.config.experts_per_token)}};
  append_numerics(source, reads_q8);
  return source;
}

Result<std::vector<Op>> make_gate_up(const Builder& builder, const LayerMatrices& m) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const Tile& tile = kernels.tuning().gate_up;
  const bool q8 = experts_read_q8(builder, m);
  ShaderSource source = expert_source(builder, tile, m.expert_gate.columns, q8);
  source.constants.emplace_back("N_EXPERTS", static_cast<std::uint32_t>(builder.config.n_experts));
  source.flags = {{"QUANTIZE", builder.reads_q8(m.expert_down)}};
  const std::vector<std::string> quantize = kernels.quantize_files();
  source.files.insert(source.files.end(), quantize.begin(), quantize.end());
  source.files.insert(source.files.end(), {quant_file(m.expert_gate, "gate"), quant_file(m.expert_up, "up"),
                                           "swiglu.wgsl", "top_k.wgsl", "expert_gate_up.wgsl"});
  std::vector<Op> ops;
  for (std::size_t i = 0; i < m.expert_gate.parts.size(); ++i) {
    const MatrixPart& gate = m.expert_gate.parts[i];
    TRINE_TRY(const Bound params, kernels.params({m.expert_gate.rows, gate.first, gate.count}));
    TRINE_TRY(Op op, kernels.make("expert_gate_up", source,
                                  {params, reads(q8 ? work.normed_q8 : work.normed), reads(gate.buffer),
                                   reads(m.expert_up.parts[i].buffer), reads(work.router_logits),
                                   writes(work.act), writes(work.ids), writes(work.expert_weights)},
                                  divide_up(m.expert_gate.rows, tile.matrix_rows())));
    op.slots = static_cast<std::uint32_t>(builder.config.experts_per_token);
    ops.push_back(std::move(op));
  }
  return ops;
}

Result<Op> make_whole_down(const Builder& builder, const Matrix& matrix) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const Tile& tile = kernels.tuning().down;
  ShaderSource source = expert_source(builder, tile, matrix.columns, builder.reads_q8(matrix));
  source.constants.emplace_back("N_EXPERTS", static_cast<std::uint32_t>(builder.config.n_experts));
  source.files.insert(source.files.end(), {quant_file(matrix), "expert_down.wgsl"});
  TRINE_TRY(const Bound params, kernels.params({matrix.rows}));
  return kernels.make(
      "expert_down", source,
      {params, reads(work.act), reads(matrix.parts[0].buffer), reads(work.ids), reads(work.expert_weights),
       reads(work.attn_out), writes(work.moe_out), writes(work.x)},
      divide_up(matrix.rows, tile.matrix_rows()));
}

Result<Op> make_down_part(const Builder& builder, const Matrix& matrix, const MatrixPart& part) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const Tile& tile = kernels.tuning().down;
  ShaderSource source = expert_source(builder, tile, matrix.columns, builder.reads_q8(matrix));
  source.files.insert(source.files.end(), {quant_file(matrix), "expert_down_part.wgsl"});
  TRINE_TRY(const Bound params, kernels.params({matrix.rows, part.first, part.count}));
  TRINE_TRY(Op op, kernels.make("expert_down_part", source,
                                {params, reads(work.act), reads(part.buffer), reads(work.step),
                                 reads(work.ids), writes(work.down)},
                                divide_up(matrix.rows, tile.matrix_rows())));
  op.slots = static_cast<std::uint32_t>(builder.config.experts_per_token);
  return op;
}

Result<Op> make_down_sum(const Builder& builder, const Matrix& matrix) {
  const std::uint32_t workgroup = builder.kernels.tuning().row_workgroup;
  const Workspace& work = builder.work;
  ShaderSource source;
  source.constants = {{"EXPERTS_PER_TOKEN", static_cast<std::uint32_t>(builder.config.experts_per_token)},
                      {"WORKGROUP", workgroup}};
  source.files = {"expert_sum.wgsl"};
  TRINE_TRY(const Bound params, builder.kernels.params({matrix.rows}));
  return builder.kernels.make("expert_sum", source,
                              {params, reads(work.down), reads(work.step), reads(work.expert_weights),
                               reads(work.attn_out), writes(work.moe_out), writes(work.x)},
                              divide_up(matrix.rows, workgroup));
}

Result<std::vector<Op>> make_down(const Builder& builder, const Matrix& matrix) {
  std::vector<Op> ops;
  const Tile& tile = builder.kernels.tuning().down;
  const auto k = static_cast<std::uint32_t>(builder.config.experts_per_token);
  // As expert_down.wgsl says; where that is too much, experts are multiplied one by one, as parts are.
  const std::uint32_t bytes = 4 * tile.rows * k * (tile.workgroup + 2 * tile.workgroup / tile.team);
  if (matrix.parts.size() == 1 && bytes <= builder.kernels.gpu().limits().max_workgroup_bytes) {
    TRINE_TRY(Op op, make_whole_down(builder, matrix));
    ops.push_back(std::move(op));
    return ops;
  }
  for (const MatrixPart& part : matrix.parts) {
    TRINE_TRY(Op op, make_down_part(builder, matrix, part));
    ops.push_back(std::move(op));
  }
  TRINE_TRY(Op sum, make_down_sum(builder, matrix));
  ops.push_back(std::move(sum));
  return ops;
}

// Of act_f32, a row a pair.
Result<Op> make_quantize_act(const Builder& builder, std::uint32_t columns) {
  const std::uint32_t workgroup = builder.kernels.tuning().row_workgroup;
  const Workspace& work = builder.work;
  const auto k = static_cast<std::uint32_t>(builder.config.experts_per_token);
  ShaderSource source;
  source.constants = {{"COLUMNS", columns}, {"WORKGROUP", workgroup}, {"ROWS_PER_TOKEN", k}};
  source.files = builder.kernels.quantize_files();
  source.files.insert(source.files.end(), {"store_block.wgsl", "quantize_rows.wgsl"});
  TRINE_TRY(Op op, builder.kernels.make("quantize_rows", source,
                                        {reads(work.act_f32), reads(work.step), writes(work.act)},
                                        divide_up(columns / 4, workgroup)));
  op.slots = k;
  return op;
}

// The numbers that 8-bit blocks stand for, laid out as quantize.wgsl says: `rows` rows of `columns`.
std::vector<float> dequantize(std::span<const std::uint32_t> words, std::size_t rows, std::size_t columns) {
  const std::size_t units = columns / unit_columns;
  const std::size_t row_words = words.size() / rows;
  std::vector<float> values(rows * columns);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t* row = words.data() + i / columns * row_words;
    const std::size_t unit = i % columns / unit_columns, column = i % unit_columns;
    const std::uint32_t word = row[(column / 16 * units + unit) * 4 + column % 16 / 4];
    const auto q = static_cast<std::int8_t>(word >> (8 * (column % 4)));
    values[i] = std::bit_cast<float>(row[8 * units + 2 * unit]) * static_cast<float>(q);
  }
  return values;
}

// act = silu(W_gate g) ⊙ W_up g of each row's experts; of few rows ids and expert_weights before that.
void expert_swiglu(Pass& pass, const ExpertOps& ops) {
  if (!pass.many) return pass.run(ops.gate_up);
  pass.run(ops.many_group, 1);
  for (const Op& op : ops.many_gate_up) pass.run(op, pass.n_tiles);
  if (ops.many_quantize) pass.run(*ops.many_quantize);
}

// moe_out = Σ_k w_k · W_down act, and x = attn_out + moe_out
void down_and_combine(Pass& pass, const ExpertOps& ops) {
  if (!pass.many) return pass.run(ops.down);
  for (const Op& op : ops.many_down) pass.run(op, pass.n_tiles);
  pass.run(ops.many_sum);
}

// What W_down reads: 8-bit blocks are shown as the numbers they stand for.
Result<void> report_act(Pass& pass, const ExpertOps& ops, int layer) {
  const std::int64_t width = std::int64_t{pass.config.experts_per_token} * pass.config.expert_ffn_size;
  if (!ops.act_is_q8)
    return pass.report(Stage::expert_act, layer, pass.many ? pass.work.act_f32 : pass.work.act, width);
  if (!pass.wants(Stage::expert_act, layer)) return {};
  const std::size_t rows = pass.n_rows * static_cast<std::size_t>(pass.config.experts_per_token);
  const std::size_t columns = static_cast<std::size_t>(pass.config.expert_ffn_size);
  const std::size_t units = columns / unit_columns;
  std::vector<std::uint32_t> words(rows * 4 * (2 * units + (units + 1) / 2));
  TRINE_CHECK_OK(pass.read(pass.work.act, words));
  pass.trace->take(model::Place::device, Stage::expert_act, layer, 0, pass.n_rows, width,
                   dequantize(words, rows, columns));
  return {};
}

}  // namespace

bool experts_read_q8(const Builder& builder, const LayerMatrices& m) {
  return builder.reads_q8(m.expert_gate) && builder.reads_q8(m.expert_up);
}

Result<ExpertOps> make_experts(const Builder& builder, const LayerMatrices& m) {
  ExpertOps ops;
  TRINE_TRY(ops.gate_up, make_gate_up(builder, m));
  ops.act_is_q8 = builder.reads_q8(m.expert_down);
  TRINE_TRY(ops.down, make_down(builder, m.expert_down));
  return ops;
}

Result<void> add_experts_of_many(const Builder& builder, const LayerMatrices& m, ExpertOps& ops) {
  const Workspace& work = builder.work;
  const bool q8 = experts_read_q8(builder, m);
  TRINE_TRY(ops.many_group, make_group_rows(builder));
  TRINE_TRY(ops.many_gate_up, make_gemm_gate_up(builder, m, q8 ? work.normed_q8 : work.normed, q8));
  if (ops.act_is_q8) {
    TRINE_TRY(ops.many_quantize, make_quantize_act(builder, m.expert_down.columns));
  }
  TRINE_TRY(ops.many_down,
            make_gemm_down(builder, m.expert_down, ops.act_is_q8 ? work.act : work.act_f32, ops.act_is_q8));
  TRINE_TRY(ops.many_sum, make_down_sum(builder, m.expert_down));
  return {};
}

Result<void> moe_ffn_forward_layer(Pass& pass, const RouterOps& router, const ExpertOps& ops, int layer) {
  const std::int64_t hidden = pass.config.hidden_size;
  TRINE_CHECK_OK(route_tokens(pass, router, layer));
  expert_swiglu(pass, ops);
  TRINE_CHECK_OK(report_chosen(pass, layer));
  TRINE_CHECK_OK(report_act(pass, ops, layer));
  down_and_combine(pass, ops);
  TRINE_CHECK_OK(pass.report(Stage::moe_out, layer, pass.work.moe_out, hidden));
  return pass.report(Stage::layer_out, layer, pass.work.x, hidden);
}

}  // namespace trine::wgpu
