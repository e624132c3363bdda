#include "cpu/experts.h"

#include "cpu/router.h"

#include <algorithm>

namespace trine::cpu {

using model::Stage;

namespace {

// Rows of every chosen expert that a task computes, with `outputs` floats for each row and slot of an expert
// in scratch memory.
std::int64_t expert_task_rows(const Pass& pass, std::int64_t rows, std::int64_t outputs) {
  const std::int64_t slots = pass.rows() * pass.config.experts_per_token;
  const auto groups = static_cast<std::int64_t>(pass.work.groups.size());
  return pass.rows_per_task(rows, slots / groups, outputs * slots);
}

// expert_act[s] = silu(W_gate g)·(W_up g) for every slot, as tasks of (expert, some of its F rows).
void expert_swiglu(Pass& pass, const LayerMatrices& m) {
  const PhaseTimer timer(pass.times, Phase::expert_gate_up);
  Workspace& work = pass.work;
  const std::int64_t ffn = pass.config.expert_ffn_size;
  const std::int64_t task_rows = expert_task_rows(pass, ffn, 2);
  const std::int64_t chunks = (ffn + task_rows - 1) / task_rows;
  const std::int64_t tasks = static_cast<std::int64_t>(work.groups.size()) * chunks;
  const auto group_of = [&](std::int64_t task) {
    return work.groups[static_cast<std::size_t>(task / chunks)];
  };
  pass.pool.parallel_ranges(tasks, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t task = begin; task < end; ++task) {
      const ExpertGroup group = group_of(task);
      const std::int64_t first = task % chunks * task_rows;
      const std::int64_t last = std::min(first + task_rows, ffn);
      const std::int64_t chunk = last - first;
      const std::int64_t slots = group.end - group.begin;
      const Activations x = work.normed.view(slots, work.row_of.data() + group.begin);
      float* gate = work.scratch[static_cast<std::size_t>(thread)].data();  // [slots][chunk]
      float* up = gate + slots * chunk;                                     // [slots][chunk]
      // Behind this task mostly comes the next; behind the last there is none, and any address will do.
      const std::int64_t after = std::min(task + 1, tasks - 1);
      const std::byte* const next_gate =
          m.expert_gate.row(after % chunks * task_rows, group_of(after).expert);
      const WeightRows up_rows = m.expert_up.slice(first, last, group.expert, next_gate);
      m.expert_gate.apply(m.expert_gate.slice(first, last, group.expert, up_rows.first), x, gate, chunk);
      m.expert_up.apply(up_rows, x, up, chunk);
      for (std::int64_t s = 0; s < slots; ++s) {
        pass.kernels.swiglu(gate + s * chunk, up + s * chunk, work.expert_act.row(group.begin + s) + first,
                            chunk);
        work.expert_act.quantize(pass.kernels, group.begin + s, first, chunk);
      }
    }
  });
}

// moe_out[n] = Σ_k w_k · W_down act, then x += moe_out, as tasks of some of the H rows over all chosen
// experts: the task that owns an output adds its experts in rank order, so no two threads share a sum.
void down_and_combine(Pass& pass, const LayerMatrices& m) {
  const PhaseTimer timer(pass.times, Phase::expert_down);
  Workspace& work = pass.work;
  const std::int64_t hidden = pass.config.hidden_size;
  const std::int64_t k = pass.config.experts_per_token;
  const std::int64_t task_rows = expert_task_rows(pass, hidden, 1);
  pass.pool.parallel_ranges(hidden, task_rows, [&](std::int64_t begin, std::int64_t end, int thread) {
    const std::int64_t chunk = end - begin;
    float* down = work.scratch[static_cast<std::size_t>(thread)].data();  // [S][chunk]
    for (std::size_t g = 0; g < work.groups.size(); ++g) {
      const ExpertGroup& group = work.groups[g];
      // Behind the last expert the first one's rows of the next task, which mostly is this thread's too.
      const bool is_last = g + 1 == work.groups.size();
      const std::int64_t next_row = is_last ? std::min(end, hidden - 1) : begin;
      const std::byte* const next = m.expert_down.row(next_row, work.groups[is_last ? 0 : g + 1].expert);
      Activations act = work.expert_act.view(group.end - group.begin);
      act.f32 += group.begin * act.columns;
      if (act.q8 != nullptr) act.q8 += group.begin * q8_groups(act.columns);
      m.expert_down.apply(m.expert_down.slice(begin, end, group.expert, next), act,
                          down + group.begin * chunk, chunk);
    }
    for (std::int64_t n = 0; n < pass.rows(); ++n) {
      float* out = work.moe_out.data() + n * hidden + begin;
      std::fill_n(out, chunk, 0.0f);
      for (std::int64_t rank = n * k; rank < (n + 1) * k; ++rank) {
        const float weight = work.expert_weights[static_cast<std::size_t>(rank)];
        const float* one = down + work.slot_of[static_cast<std::size_t>(rank)] * chunk;
        for (std::int64_t i = 0; i < chunk; ++i) out[i] += weight * one[i];
      }
      float* x = work.x.data() + n * hidden + begin;
      for (std::int64_t i = 0; i < chunk; ++i) x[i] += out[i];
    }
  });
}

// Slots are grouped by expert; the trace wants each row's choices in rank order.
void report_expert_act(Pass& pass, int layer) {
  if (pass.trace == nullptr || !pass.trace->wants(Stage::expert_act, layer)) return;
  const std::int64_t ffn = pass.config.expert_ffn_size;
  const std::int64_t k = pass.config.experts_per_token;
  std::vector<float> rows;
  for (std::int64_t choice = 0; choice < pass.rows() * k; ++choice) {
    const float* act = pass.work.expert_act.row(pass.work.slot_of[static_cast<std::size_t>(choice)]);
    rows.insert(rows.end(), act, act + ffn);
  }
  pass.report(Stage::expert_act, layer, rows.data(), k * ffn);
}

}  // namespace

void moe_ffn_forward_layer(Pass& pass, const LayerMatrices& m, int layer) {
  norm_rows(pass, m.ffn_norm, false);
  pass.report(Stage::ffn_norm, layer, pass.work.normed.f32.data(), pass.config.hidden_size);
  route_tokens(pass, m, layer);
  expert_swiglu(pass, m);
  report_expert_act(pass, layer);
  down_and_combine(pass, m);
  pass.report(Stage::moe_out, layer, pass.work.moe_out.data(), pass.config.hidden_size);
  pass.report(Stage::layer_out, layer, pass.work.x.data(), pass.config.hidden_size);
}

}  // namespace trine::cpu
