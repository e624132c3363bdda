#include "cpu/forward.h"

#include "cpu/attention.h"
#include "cpu/experts.h"
#include "cpu/head.h"
#include "cpu/phase_work.h"

#include <algorithm>
#include <cmath>

namespace trine::cpu {

using model::Stage;

ActivationBuffer::ActivationBuffer(std::int64_t rows, std::int64_t columns, bool with_q8)
    : columns(columns), f32(static_cast<std::size_t>(rows * columns)) {
  if (with_q8) q8.resize(static_cast<std::size_t>(rows * q8_groups(columns)));
}

void ActivationBuffer::quantize(const Kernels& kernels, std::int64_t row, std::int64_t begin,
                                std::int64_t n) {
  if (q8.empty()) return;
  kernels.quantize(f32.data() + row * columns + begin, begin, n, q8_row(row));
}

void ActivationBuffer::quantize_rest(const Kernels& kernels, std::int64_t row, std::int64_t rest) {
  if (q8.empty()) return;
  const float* from = this->row(row);
  float* lost = this->row(rest);
  const Q8Group* groups = q8_row(row);
  for (std::int64_t block = 0; block < columns / q8_block; ++block) {
    const Q8Group& group = groups[block / group_sub_blocks];
    const std::int64_t at = block % group_sub_blocks;
    for (std::int64_t i = 0; i < q8_block; ++i) *lost++ = *from++ - group.d[at] * group.q[at * q8_block + i];
  }
  quantize_row(kernels, rest);
}

Activations ActivationBuffer::view(std::int64_t rows, const std::int32_t* index) const {
  return {rows, columns, f32.data(), q8.empty() ? nullptr : q8.data(), index};
}

namespace {

// Up to so many tokens a matrix product waits for weights from memory: a task is then a long stream of rows.
constexpr std::int64_t few_tokens = 3;
// Two of them a thread, so that one that is held up does not hold up everybody for long.
constexpr std::int64_t tasks_per_thread = 2;

std::size_t count(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(rows * columns);
}

template <typename Wants>
bool any_layer(const Matrices& matrices, Wants wants) {
  return std::any_of(matrices.layers.begin(), matrices.layers.end(), wants);
}

bool normed_needs_q8(const Matrices& matrices) {
  return matrices.output.reads_q8 || any_layer(matrices, [](const LayerMatrices& m) {
           return m.attn_q.reads_q8 || m.attn_k.reads_q8 || m.attn_v.reads_q8 || m.expert_gate.reads_q8 ||
                  m.expert_up.reads_q8;
         });
}

}  // namespace

Workspace::Workspace(const model::Config& c, const Matrices& matrices, std::int64_t max_rows,
                     std::int64_t max_positions, int threads)
    : x(count(max_rows, c.hidden_size)),
      normed(2 * max_rows, c.hidden_size, normed_needs_q8(matrices)),
      qkv(count(2 * max_rows, c.q_size() + 2 * c.kv_size())),
      rope_cos(count(max_rows, c.head_dim / 2)),
      rope_sin(rope_cos.size()),
      attend(c, max_rows, max_positions, threads),
      attended(max_rows, c.q_size(),
               any_layer(matrices, [](const LayerMatrices& m) { return m.attn_output.reads_q8; })),
      router_logits(count(max_rows, c.n_experts)),
      ids(count(max_rows, c.experts_per_token)),
      expert_weights(ids.size()),
      slot_of(ids.size()),
      row_of(ids.size()),
      expert_act(max_rows * c.experts_per_token, c.expert_ffn_size,
                 any_layer(matrices, [](const LayerMatrices& m) { return m.expert_down.reads_q8; })),
      moe_out(x.size()),
      scratch(static_cast<std::size_t>(threads)) {
  groups.reserve(static_cast<std::size_t>(c.n_experts));
  const std::size_t chunk = 2 * count(max_rows * c.experts_per_token, rows_per_tile_task);
  for (std::vector<float>& one : scratch) one.resize(chunk);
}

std::int64_t Pass::rows_per_task(std::int64_t rows, std::int64_t tokens, std::int64_t kept) const {
  if (tokens > few_tokens) return rows_per_tile_task;
  const std::int64_t tasks = tasks_per_thread * pool.size();
  std::int64_t share = (rows + tasks - 1) / tasks;
  if (kept > 0) share = std::min(share, static_cast<std::int64_t>(work.scratch.front().size()) / kept);
  const std::int64_t whole = (share + rows_per_tile_task - 1) / rows_per_tile_task * rows_per_tile_task;
  return std::max(whole, rows_per_tile_task);
}

void Pass::report(Stage stage, int layer, const float* values, std::int64_t width) const {
  if (trace == nullptr || !trace->wants(stage, layer)) return;
  trace->take(model::Place::device, stage, layer, 0, rows(), width, {values, count(rows(), width)});
}

void rms_norm(const Kernels& kernels, const float* x, const float* weight, std::int64_t n, float eps,
              float* out) {
  const float scale = 1.0f / std::sqrt(kernels.dot_f32(x, x, n) / static_cast<float>(n) + eps);
  for (std::int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

void norm_rows(Pass& pass, const float* weight, bool with_rest) {
  const PhaseTimer timer(pass.times, Phase::norm);
  const std::int64_t hidden = pass.config.hidden_size;
  pass.pool.parallel_for(pass.rows(), 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t n = begin; n < end; ++n) {
      rms_norm(pass.kernels, pass.work.x.data() + n * hidden, weight, hidden, pass.config.rms_norm_eps,
               pass.work.normed.row(n));
      pass.work.normed.quantize_row(pass.kernels, n);
      if (with_rest) pass.work.normed.quantize_rest(pass.kernels, n, pass.rows() + n);
    }
  });
}

namespace {

// x = embed[token]
void embed(Pass& pass) {
  const PhaseTimer timer(pass.times, Phase::embed);
  const model::Weight& table = *pass.matrices.embed.weight;
  const std::int64_t hidden = pass.config.hidden_size;
  pass.pool.parallel_for(pass.rows(), 8, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t n = begin; n < end; ++n) {
      const model::Row& row = pass.plan.rows[static_cast<std::size_t>(n)];
      // Behind no token nothing means anything, but it must not be read beyond the table.
      const std::int32_t chosen = std::max(pass.last_choices[static_cast<std::size_t>(row.slot)], 0);
      const std::int32_t token = row.token == model::last_choice ? chosen : row.token;
      table.codec->decode_row(table.row(token), static_cast<std::uint64_t>(hidden),
                              pass.work.x.data() + n * hidden);
    }
  });
  pass.report(Stage::embed, -1, pass.work.x.data(), hidden);
}

// cos and sin of every row's position, once for all layers.
void prepare_rope(Pass& pass) {
  const PhaseTimer timer(pass.times, Phase::rope_and_kv);
  const std::size_t half = static_cast<std::size_t>(pass.config.head_dim / 2);
  for (std::size_t n = 0; n < pass.plan.rows.size(); ++n) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = pass.plan.rows[n].position * pass.rope.frequencies[i];
      pass.work.rope_cos[n * half + i] = static_cast<float>(std::cos(angle) * pass.rope.scale);
      pass.work.rope_sin[n * half + i] = static_cast<float>(std::sin(angle) * pass.rope.scale);
    }
  }
}

}  // namespace

void forward_qwen3_moe(Pass& pass, std::span<float> logits) {
  embed(pass);
  prepare_rope(pass);
  pass.work.attend.plan(pass.plan);
  for (int layer = 0; layer < pass.config.n_layers; ++layer) {
    const LayerMatrices& m = pass.matrices.layers[static_cast<std::size_t>(layer)];
    attention_forward_layer(pass, m, layer);
    moe_ffn_forward_layer(pass, m, layer);
    if (pass.times != nullptr) count_layer_work(pass, m);
  }
  head_forward(pass, logits);
  if (pass.times != nullptr) count_end_work(pass);
}

}  // namespace trine::cpu
