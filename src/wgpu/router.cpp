#include "wgpu/router.h"

#include "wgpu/experts.h"
#include "wgpu/gemm.h"
#include "wgpu/norm.h"
#include "wgpu/repack.h"

#include <bit>
#include <vector>

namespace trine::wgpu {

using model::Stage;

namespace {

NormOutput norm_output(const Builder& builder, const LayerMatrices& m) {
  return experts_read_q8(builder, m) ? NormOutput::f32_and_q8 : NormOutput::f32;
}

Result<Op> make_norm_logits(const Builder& builder, const LayerMatrices& m) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const NormOutput output = norm_output(builder, m);
  const Tile& tile = kernels.tuning().router;
  const std::uint32_t workgroup = norm_workgroup(builder, tile);
  ShaderSource source = norm_source(builder, output, workgroup);
  const std::uint32_t row_bytes = 128 * (divide_up(m.router.columns, unit_columns) + 1);
  // The sums of teams, what blocks_* take, and what the norm's sum does at most.
  const std::uint32_t other_bytes = 4 * (workgroup * (tile.rows + 1) + workgroup + norm_lanes(builder));
  source.flags.emplace_back("KEEP_ROW",
                            row_bytes + other_bytes <= kernels.gpu().limits().max_workgroup_bytes);
  source.constants.insert(source.constants.end(), {{"TEAM", tile.team}, {"ROWS", tile.rows}, {"TOKENS", 1}});
  // In f32 whatever the type: it decides which experts run.
  source.files.insert(source.files.end(),
                      {"quant_common.wgsl", "numerics_exact.wgsl", quant_file(m.router), "matvec_tile.wgsl",
                       "norm_row.wgsl", "store_block.wgsl", "norm_blocks.wgsl", "norm_router.wgsl"});
  const MatrixPart& whole = m.router.parts.front();  // megabytes: it fits into any binding
  TRINE_TRY(const Bound params,
            kernels.params({std::bit_cast<std::uint32_t>(builder.config.rms_norm_eps), m.router.rows}));
  const std::uint32_t tile_rows = workgroup / tile.team * tile.rows;
  return kernels.make(
      "norm_router", source,
      {params, reads(work.attn_out), reads(whole.buffer), reads(m.ffn_norm), writes(work.normed),
       writes(output != NormOutput::f32 ? work.normed_q8 : work.unused), writes(work.router_logits)},
      1 + divide_up(m.router.rows, tile_rows));
}

Result<Op> make_top_k(const Builder& builder) {
  const Workspace& work = builder.work;
  const auto n_experts = static_cast<std::uint32_t>(builder.config.n_experts);
  ShaderSource source;
  source.constants = {
      {"WORKGROUP", builder.kernels.workgroup_for(n_experts, builder.kernels.tuning().top_k_workgroup)},
      {"N_EXPERTS", n_experts},
      {"EXPERTS_PER_TOKEN", static_cast<std::uint32_t>(builder.config.experts_per_token)}};
  source.files = {"top_k.wgsl", "router_top_k.wgsl"};
  return builder.kernels.make(
      "router_top_k", source,
      {reads(work.step), reads(work.router_logits), writes(work.ids), writes(work.expert_weights)});
}

}  // namespace

Result<RouterOps> make_router(const Builder& builder, const LayerMatrices& m) {
  RouterOps ops;
  TRINE_TRY(ops.norm_logits, make_norm_logits(builder, m));
  return ops;
}

Result<void> add_router_of_many(const Builder& builder, const LayerMatrices& m, RouterOps& ops) {
  const Workspace& work = builder.work;
  TRINE_TRY(ops.many_norm, make_norm(builder, work.attn_out, m.ffn_norm, norm_output(builder, m)));
  const Projection projection = {"router", m.router, work.normed, false, work.router_logits, m.router.rows};
  TRINE_TRY(ops.many_logits, make_gemm(builder, projection, builder.kernels.tuning().gemm_router));
  TRINE_TRY(ops.many_top_k, make_top_k(builder));
  return {};
}

Result<void> route_tokens(Pass& pass, const RouterOps& ops, int layer) {
  pass.run(pass.many ? ops.many_norm : ops.norm_logits);
  TRINE_CHECK_OK(pass.report(Stage::ffn_norm, layer, pass.work.normed, pass.config.hidden_size));
  if (pass.many) pass.run(ops.many_logits);
  TRINE_CHECK_OK(pass.report(Stage::router_logits, layer, pass.work.router_logits, pass.config.n_experts));
  if (pass.many) pass.run(ops.many_top_k);
  return {};
}

Result<void> report_chosen(Pass& pass, int layer) {
  const std::int64_t k = pass.config.experts_per_token;
  if (pass.wants(Stage::expert_ids, layer)) {
    std::vector<std::uint32_t> ids(pass.n_rows * static_cast<std::size_t>(k));
    TRINE_CHECK_OK(pass.read(pass.work.ids, ids));
    const std::vector<float> values(ids.begin(), ids.end());
    pass.trace->take(model::Place::device, Stage::expert_ids, layer, 0, pass.n_rows, k, values);
  }
  return pass.report(Stage::expert_weights, layer, pass.work.expert_weights, k);
}

}  // namespace trine::wgpu
