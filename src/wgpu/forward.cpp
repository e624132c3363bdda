#include "wgpu/forward.h"

namespace trine::wgpu {

using model::Stage;

namespace {

// x = embed[token], one Op per part of the table.
Result<std::vector<Op>> make_embed(const Builder& builder, const Matrix& table) {
  const std::uint32_t workgroup = builder.kernels.tuning().row_workgroup;
  const Workspace& work = builder.work;
  ShaderSource source;
  source.constants = {{"COLUMNS", table.columns}, {"WORKGROUP", workgroup}};
  source.files = {"quant_common.wgsl", "numerics_exact.wgsl", quant_file(table), "embed.wgsl"};
  const std::uint32_t units = divide_up(table.columns, 32);
  std::vector<Op> ops;
  for (const MatrixPart& part : table.parts) {
    TRINE_TRY(const Bound params, builder.kernels.params({part.first, part.count}));
    TRINE_TRY(Op op, builder.kernels.make("embed", source,
                                          {params, writes(work.x), reads(part.buffer), reads(work.step),
                                           reads(work.rows), reads(work.last_choices)},
                                          divide_up(units, workgroup)));
    ops.push_back(std::move(op));
  }
  return ops;
}

// x = embed[token]
Result<void> embed(Pass& pass, const std::vector<Op>& ops) {
  pass.run(ops);
  return pass.report(Stage::embed, -1, pass.work.x, pass.config.hidden_size);
}

}  // namespace

Result<ForwardOps> make_forward(const Builder& builder, const Matrices& matrices, const KvCache& kv) {
  const double rope_scale = model::rope_table(builder.config).scale;
  ForwardOps ops;
  TRINE_TRY(ops.embed, make_embed(builder, matrices.embed));
  for (int layer = 0; layer < builder.config.n_layers; ++layer) {
    const LayerMatrices& m = matrices.layers[static_cast<std::size_t>(layer)];
    LayerOps one;
    TRINE_TRY(one.attention, make_attention(builder, m, kv.layer(layer), kv.type(), rope_scale));
    TRINE_TRY(one.router, make_router(builder, m));
    TRINE_TRY(one.experts, make_experts(builder, m));
    ops.layers.push_back(std::move(one));
  }
  TRINE_TRY(ops.head, make_head(builder, matrices));
  return ops;
}

Result<void> add_forward_of_many(const Builder& builder, const Matrices& matrices, const KvCache& kv,
                                 ForwardOps& ops) {
  const double rope_scale = model::rope_table(builder.config).scale;
  for (int layer = 0; layer < builder.config.n_layers; ++layer) {
    const LayerMatrices& m = matrices.layers[static_cast<std::size_t>(layer)];
    LayerOps& one = ops.layers[static_cast<std::size_t>(layer)];
    TRINE_CHECK_OK(add_attention_of_many(builder, m, kv.layer(layer), kv.type(), rope_scale, one.attention));
    TRINE_CHECK_OK(add_router_of_many(builder, m, one.router));
    TRINE_CHECK_OK(add_experts_of_many(builder, m, one.experts));
  }
  return {};
}

Result<void> forward_layers(Pass& pass, const ForwardOps& ops) {
  TRINE_CHECK_OK(embed(pass, ops.embed));
  Submission before = 0;
  for (int layer = 0; layer < pass.config.n_layers; ++layer) {
    const LayerOps& one = ops.layers[static_cast<std::size_t>(layer)];
    TRINE_CHECK_OK(attention_forward_layer(pass, one.attention, layer));
    TRINE_CHECK_OK(moe_ffn_forward_layer(pass, one.router, one.experts, layer));
    if ((static_cast<std::uint32_t>(layer) + 1) % pass.layers_per_submit == 0) {
      TRINE_TRY(const Submission now, pass.submit());
      TRINE_CHECK_OK(pass.gpu.wait(before, submission_patience));
      before = now;
    }
  }
  return {};
}

Result<void> forward_qwen3_moe(Pass& pass, const ForwardOps& ops, const ChooseOps* choose, const Slots& slots,
                               StepReadback& back) {
  TRINE_CHECK_OK(forward_layers(pass, ops));
  return head_forward(pass, ops.head, choose, slots, back);
}

}  // namespace trine::wgpu
