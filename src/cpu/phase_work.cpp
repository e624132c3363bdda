#include "cpu/phase_work.h"

#include <algorithm>
#include <map>

namespace trine::cpu {
namespace {

// A matrix of which `experts` are read, for `products` rows of activations in all.
void add_matrix(const Pass& pass, Phase phase, const Matrix& matrix, double products, double experts = 1) {
  const double bytes = experts * static_cast<double>(matrix.weight->expert_bytes());
  const double flops = 2 * products * static_cast<double>(matrix.rows() * matrix.columns());
  pass.times->add_work(phase, bytes, matrix.reads_q8 ? flops : 0, matrix.reads_q8 ? 0 : flops);
}

double f32_bytes(std::int64_t values) {
  return static_cast<double>(values) * sizeof(float);
}

// Keys and values of every sequence, each position once; two multiply-adds for each of its dimensions, row
// and query head.
void count_attention(const Pass& pass) {
  const model::Config& c = pass.config;
  std::map<std::int32_t, std::int32_t> positions;  // by slot
  double attended = 0;
  for (const model::Row& row : pass.plan.rows) {
    positions[row.slot] = std::max(positions[row.slot], row.position + 1);
    attended += row.position + 1;
  }
  std::uint64_t read = 0;
  for (const auto& [slot, count] : positions) read += static_cast<std::uint64_t>(count);
  const std::uint64_t bytes =
      device::kv_bytes_of(pass.kv.type(), read * 2 * static_cast<std::uint64_t>(c.kv_size()));
  pass.times->add_work(Phase::attention, static_cast<double>(bytes), 0, 4 * attended * c.q_size());
}

}  // namespace

void count_layer_work(const Pass& pass, const LayerMatrices& m) {
  const model::Config& c = pass.config;
  const auto rows = static_cast<double>(pass.rows());
  pass.times->add_work(Phase::norm, 2 * f32_bytes(c.hidden_size));
  for (const Matrix* matrix : {&m.attn_q, &m.attn_k, &m.attn_v}) add_matrix(pass, Phase::qkv, *matrix, rows);
  pass.times->add_work(Phase::rope_and_kv, 2 * f32_bytes(c.head_dim));
  count_attention(pass);
  add_matrix(pass, Phase::attn_output, m.attn_output, rows);
  add_matrix(pass, Phase::router, m.router, rows);
  const double products = rows * c.experts_per_token;
  const auto experts = static_cast<double>(pass.work.groups.size());
  add_matrix(pass, Phase::expert_gate_up, m.expert_gate, products, experts);
  add_matrix(pass, Phase::expert_gate_up, m.expert_up, products, experts);
  add_matrix(pass, Phase::expert_down, m.expert_down, products, experts);
}

void count_end_work(const Pass& pass) {
  const double row_bytes = static_cast<double>(pass.matrices.embed.weight->row_bytes);
  pass.times->add_work(Phase::embed, static_cast<double>(pass.rows()) * row_bytes);
  if (pass.plan.head_rows.empty()) return;
  pass.times->add_work(Phase::norm, f32_bytes(pass.config.hidden_size));
  add_matrix(pass, Phase::logits, pass.matrices.output, static_cast<double>(pass.plan.head_rows.size()));
}

}  // namespace trine::cpu
