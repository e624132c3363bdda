#include "cpu/attention.h"

#include "cpu/projections.h"

#include <vector>

namespace trine::cpu {

using model::Stage;

namespace {

// Rotates the pairs (i, i + D/2) of one head, NEOX order.
void rotate(float* head, const float* cos, const float* sin, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = head[i];
    const float b = head[i + half];
    head[i] = a * cos[i] - b * sin[i];
    head[i + half] = a * sin[i] + b * cos[i];
  }
}

// Head norm and rotary embedding of q and k in place, then the KV write.
void norm_rotate_and_store(Pass& pass, const LayerMatrices& m, int layer) {
  const PhaseTimer timer(pass.times, Phase::rope_and_kv);
  const model::Config& c = pass.config;
  const std::int64_t width = c.q_size() + 2 * c.kv_size();
  const std::int64_t half = c.head_dim / 2;
  pass.pool.parallel_for(pass.rows(), 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t n = begin; n < end; ++n) {
      float* q = pass.work.qkv.data() + n * width;
      for (int head = 0; head < c.n_heads + c.n_kv_heads; ++head) {  // the k heads follow the q heads
        float* one = q + std::int64_t{head} * c.head_dim;
        const float* weight = head < c.n_heads ? m.attn_q_norm : m.attn_k_norm;
        rms_norm(pass.kernels, one, weight, c.head_dim, c.rms_norm_eps, one);
        rotate(one, pass.work.rope_cos.data() + n * half, pass.work.rope_sin.data() + n * half, half);
      }
      const model::Row& row = pass.plan.rows[static_cast<std::size_t>(n)];
      const std::vector<std::int32_t>& pages = pass.plan.slot_of(row).pages;
      const float* k = q + c.q_size();
      pass.kv.write(pass.kernels, layer, KvCache::slot(pages, row.position), k, k + c.kv_size());
    }
  });
}

void attend_all(Pass& pass, int layer) {
  const PhaseTimer timer(pass.times, Phase::attention);
  const model::Config& c = pass.config;
  Workspace& work = pass.work;
  work.attend.run(pass.kernels, pass.kv, pass.pool, pass.plan, layer,
                  {work.qkv.data(), c.q_size() + 2 * c.kv_size()}, {work.attended.row(0), c.q_size()});
}

// The q and k part of every qkv row, gathered for the trace.
void report_qk(const Pass& pass, int layer) {
  if (pass.trace == nullptr || !pass.trace->wants(Stage::qk_norm_rope, layer)) return;
  const std::int64_t qk = pass.config.q_size() + pass.config.kv_size();
  std::vector<float> rows;
  for (std::int64_t n = 0; n < pass.rows(); ++n) {
    const float* row = pass.work.qkv.data() + n * (qk + pass.config.kv_size());
    rows.insert(rows.end(), row, row + qk);
  }
  pass.report(Stage::qk_norm_rope, layer, rows.data(), qk);
}

}  // namespace

void attention_forward_layer(Pass& pass, const LayerMatrices& m, int layer) {
  norm_rows(pass, m.attn_norm, true);
  pass.report(Stage::attn_norm, layer, pass.work.normed.f32.data(), pass.config.hidden_size);
  project_qkv(pass, m);
  pass.report(Stage::qkv, layer, pass.work.qkv.data(), pass.config.q_size() + 2 * pass.config.kv_size());
  norm_rotate_and_store(pass, m, layer);
  report_qk(pass, layer);
  attend_all(pass, layer);
  pass.report(Stage::attention, layer, pass.work.attended.f32.data(), pass.config.q_size());
  project_output(pass, m);
  pass.report(Stage::attn_out, layer, pass.work.x.data(), pass.config.hidden_size);
}

}  // namespace trine::cpu
