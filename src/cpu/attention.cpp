#include "cpu/attention.h"

#include "cpu/projections.h"

#include <algorithm>
#include <cmath>

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

// Calls body(position, slot) for every position up to and including `last`, page by page.
template <typename Body>
void for_each_position(std::span<const std::int32_t> pages, std::int32_t last, Body body) {
  for (std::int32_t begin = 0; begin <= last; begin += KvCache::page_size) {
    const std::int64_t slot = KvCache::slot(pages, begin);
    const std::int32_t end = std::min(begin + KvCache::page_size, last + 1);
    for (std::int32_t position = begin; position < end; ++position) body(position, slot + position - begin);
  }
}

// out = softmax(q·kᵀ/√D)·v over positions 0 … row.position, for one query head. `scores` holds that many
// floats.
void attend(const Pass& pass, const model::Row& row, int layer, int head, const float* q, float* scores,
            float* out) {
  const model::Config& c = pass.config;
  const KvCache& kv = pass.kv;
  const int kv_head = head / (c.n_heads / c.n_kv_heads);
  const std::span<const std::int32_t> pages = pass.plan.slot_of(row).pages;
  const bool f16 = kv.type() == KvType::f16;
  const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));

  float largest = -INFINITY;
  for_each_position(pages, row.position, [&](std::int32_t position, std::int64_t slot) {
    const float dot = f16 ? pass.kernels.dot_f16(q, kv.key_f16(layer, slot, kv_head), c.head_dim)
                          : pass.kernels.dot_f32(q, kv.key_f32(layer, slot, kv_head), c.head_dim);
    scores[position] = dot * scale;
    largest = std::max(largest, scores[position]);
  });

  double sum = 0;
  for (std::int32_t position = 0; position <= row.position; ++position) {
    scores[position] = std::exp(scores[position] - largest);
    sum += scores[position];
  }
  const float inverse = static_cast<float>(1.0 / sum);

  std::fill_n(out, c.head_dim, 0.0f);
  for_each_position(pages, row.position, [&](std::int32_t position, std::int64_t slot) {
    const float weight = scores[position] * inverse;
    if (f16)
      pass.kernels.axpy_f16(weight, kv.value_f16(layer, slot, kv_head), out, c.head_dim);
    else
      pass.kernels.axpy_f32(weight, kv.value_f32(layer, slot, kv_head), out, c.head_dim);
  });
}

void attend_all(Pass& pass, int layer) {
  const PhaseTimer timer(pass.times, Phase::attention);
  const model::Config& c = pass.config;
  const std::int64_t width = c.q_size() + 2 * c.kv_size();
  pass.pool.parallel_for(pass.rows() * c.n_heads, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    float* scores = pass.work.scratch[static_cast<std::size_t>(thread)].data();
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t n = task / c.n_heads;
      const int head = static_cast<int>(task % c.n_heads);
      const std::int64_t at = std::int64_t{head} * c.head_dim;
      attend(pass, pass.plan.rows[static_cast<std::size_t>(n)], layer, head,
             pass.work.qkv.data() + n * width + at, scores, pass.work.attended.row(n) + at);
    }
  });
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
