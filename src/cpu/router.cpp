#include "cpu/router.h"

#include "base/check.h"

#include <algorithm>
#include <cmath>

namespace trine::cpu {

using model::Stage;

void choose_experts(const float* logits, std::int64_t n_experts, std::int64_t k, std::int32_t* ids,
                    float* weights) {
  // Probabilities keep the order of logits, so the choice needs no softmax; its denominator cancels in the
  // renormalised weights, which leaves exp(l − max) over the chosen ones only.
  std::int64_t chosen = 0;
  for (std::int64_t expert = 0; expert < n_experts; ++expert) {
    // Insertion into the k best so far; strict comparison keeps the lower id ahead of an equal one.
    std::int64_t at = chosen;
    while (at > 0 && logits[expert] > logits[ids[at - 1]]) --at;
    if (at == k) continue;
    if (chosen < k) ++chosen;
    for (std::int64_t i = chosen - 1; i > at; --i) ids[i] = ids[i - 1];
    ids[at] = static_cast<std::int32_t>(expert);
  }
  // A NaN anywhere must show: fold every logit into the scale.
  float largest = logits[ids[0]];
  for (std::int64_t expert = 0; expert < n_experts; ++expert)
    if (std::isnan(logits[expert])) largest = logits[expert];
  float sum = 0;
  for (std::int64_t i = 0; i < k; ++i) sum += weights[i] = std::exp(logits[ids[i]] - largest);
  for (std::int64_t i = 0; i < k; ++i) weights[i] /= sum;
}

namespace {

// Tasks of some experts for some rows: of experts alone there are too few for many threads.
void compute_router_logits(Pass& pass, const LayerMatrices& m) {
  constexpr std::int64_t task_experts = 16, task_rows = 64;
  const std::int64_t n_experts = pass.config.n_experts, rows = pass.rows();
  const std::int64_t chunks = (n_experts + task_experts - 1) / task_experts;
  const std::int64_t tasks = chunks * ((rows + task_rows - 1) / task_rows);
  check(!m.router.reads_q8, "routers multiply in fp32");
  const Activations all = pass.work.normed.view(rows);
  pass.pool.parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t expert = task % chunks * task_experts, row = task / chunks * task_rows;
      Activations x = all;
      x.rows = std::min(task_rows, rows - row);
      x.f32 += row * x.columns;
      m.router.apply(m.router.slice(expert, std::min(expert + task_experts, n_experts)), x,
                     pass.work.router_logits.data() + row * n_experts + expert, n_experts);
    }
  });
}

// Counting sort of the N·k choices by expert.
void group_by_expert(Pass& pass) {
  Workspace& work = pass.work;
  const std::size_t slots = static_cast<std::size_t>(pass.rows() * pass.config.experts_per_token);
  std::vector<std::int32_t> next(static_cast<std::size_t>(pass.config.n_experts) + 1, 0);
  for (std::size_t i = 0; i < slots; ++i) ++next[static_cast<std::size_t>(work.ids[i]) + 1];
  work.groups.clear();
  for (std::int32_t expert = 0; expert < pass.config.n_experts; ++expert) {
    const std::size_t e = static_cast<std::size_t>(expert);
    next[e + 1] += next[e];
    if (next[e + 1] > next[e]) work.groups.push_back({expert, next[e], next[e + 1]});
  }
  for (std::size_t i = 0; i < slots; ++i) {
    const std::int32_t slot = next[static_cast<std::size_t>(work.ids[i])]++;
    work.slot_of[i] = slot;
    work.row_of[static_cast<std::size_t>(slot)] =
        static_cast<std::int32_t>(i / static_cast<std::size_t>(pass.config.experts_per_token));
  }
}

void report_choices(const Pass& pass, int layer) {
  const std::int64_t k = pass.config.experts_per_token;
  if (pass.trace != nullptr && pass.trace->wants(Stage::expert_ids, layer)) {
    const std::vector<float> ids(pass.work.ids.begin(), pass.work.ids.begin() + pass.rows() * k);
    pass.report(Stage::expert_ids, layer, ids.data(), k);
  }
  pass.report(Stage::expert_weights, layer, pass.work.expert_weights.data(), k);
}

}  // namespace

void route_tokens(Pass& pass, const LayerMatrices& m, int layer) {
  const PhaseTimer timer(pass.times, Phase::router);
  const std::int64_t n_experts = pass.config.n_experts;
  const std::int64_t k = pass.config.experts_per_token;
  compute_router_logits(pass, m);
  pass.report(Stage::router_logits, layer, pass.work.router_logits.data(), n_experts);
  for (std::int64_t n = 0; n < pass.rows(); ++n) {
    choose_experts(pass.work.router_logits.data() + n * n_experts, n_experts, k, pass.work.ids.data() + n * k,
                   pass.work.expert_weights.data() + n * k);
  }
  group_by_expert(pass);
  report_choices(pass, layer);
}

}  // namespace trine::cpu
