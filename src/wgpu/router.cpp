#include "wgpu/router.h"

#include "wgpu/gemm.h"

#include <vector>

namespace trine::wgpu {

using model::Stage;

namespace {

// In f32 whatever the type: it decides which experts run.
Projection projection(const Builder& builder, const LayerMatrices& m) {
  return {m.router, builder.work.normed, false, builder.work.router_logits,
          static_cast<std::uint32_t>(builder.config.n_experts)};
}

}  // namespace

Result<RouterOps> make_router(const Builder& builder, const LayerMatrices& m) {
  const Workspace& work = builder.work;
  const auto n_experts = static_cast<std::uint32_t>(builder.config.n_experts);
  RouterOps ops;
  TRINE_TRY(ops.logits, make_projection(builder, projection(builder, m)));
  ShaderSource source;
  source.constants = {{"WORKGROUP", builder.kernels.workgroup_for(n_experts, 256)},
                      {"N_EXPERTS", n_experts},
                      {"EXPERTS_PER_TOKEN", static_cast<std::uint32_t>(builder.config.experts_per_token)}};
  source.files = {"router_top_k.wgsl"};
  TRINE_TRY(ops.top_k, builder.kernels.make("router_top_k", source,
                                            {reads(work.step), reads(work.router_logits), writes(work.ids),
                                             writes(work.expert_weights)}));
  return ops;
}

Result<void> add_router_of_many(const Builder& builder, const LayerMatrices& m, RouterOps& ops) {
  TRINE_TRY(ops.many_logits,
            make_gemm(builder, projection(builder, m), builder.kernels.tuning().gemm_router));
  return {};
}

Result<void> route_tokens(Pass& pass, const RouterOps& ops, int layer) {
  const std::int64_t k = pass.config.experts_per_token;
  pass.run(pass.many ? ops.many_logits : ops.logits);
  TRINE_CHECK_OK(pass.report(Stage::router_logits, layer, pass.work.router_logits, pass.config.n_experts));
  pass.run(ops.top_k);
  if (pass.wants(Stage::expert_ids, layer)) {
    std::vector<std::uint32_t> ids(pass.n_rows * static_cast<std::size_t>(k));
    TRINE_CHECK_OK(pass.read(pass.work.ids, ids));
    const std::vector<float> values(ids.begin(), ids.end());
    pass.trace->take(Stage::expert_ids, layer, 0, pass.n_rows, k, values);
  }
  return pass.report(Stage::expert_weights, layer, pass.work.expert_weights, k);
}

}  // namespace trine::wgpu
