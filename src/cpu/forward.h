#pragma once

#include "base/thread_pool.h"
#include "cpu/attend.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kv_cache.h"
#include "cpu/phases.h"
#include "cpu/weights.h"
#include "model/device_model.h"
#include "model/stage.h"

#include <cstdint>
#include <span>
#include <vector>

namespace trine::cpu {

// Dimension key of every file in this folder:
//   N batch rows (tokens), H hidden_size, D head_dim, Q n_heads·D, K n_kv_heads·D,
//   E experts, k experts_per_token, F expert_ffn_size, V vocabulary, S = N·k expert slots.

// N activation rows of C columns, in fp32 and, when some matrix asks for it, in 8-bit blocks.
struct ActivationBuffer {
  std::int64_t columns = 0;
  std::vector<float> f32;   // [N][C]
  std::vector<Q8Group> q8;  // [N][C/256, rounded up]

  ActivationBuffer(std::int64_t rows, std::int64_t columns, bool with_q8);
  float* row(std::int64_t n) { return f32.data() + n * columns; }
  Q8Group* q8_row(std::int64_t n) { return q8.data() + n * q8_groups(columns); }
  // Refreshes the 8-bit form of columns [begin, begin + n) of a row; both multiples of 32. Nothing to do
  // without q8.
  void quantize(const Kernels& kernels, std::int64_t row, std::int64_t begin, std::int64_t n);
  void quantize_row(const Kernels& kernels, std::int64_t row) { quantize(kernels, row, 0, columns); }
  // Row `rest` becomes what the 8-bit form of `row` lost, with an 8-bit form of its own: a matrix times the
  // sum of both forms is as if activations had 16 bits. Nothing to do without q8.
  void quantize_rest(const Kernels& kernels, std::int64_t row, std::int64_t rest);
  Activations view(std::int64_t rows, const std::int32_t* index = nullptr) const;
};

// One chosen expert of the batch: the slots [begin, end) belong to it.
struct ExpertGroup {
  std::int32_t expert = 0;
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

// Buffers of one forward pass, sized once for the largest batch.
struct Workspace {
  Workspace(const model::Config& config, const Matrices& matrices, std::int64_t max_rows,
            std::int64_t max_positions, int threads);

  std::vector<float> x;               // [N][H] residual stream
  ActivationBuffer normed;            // [N][H], then for attention [N][H] that the 8-bit form lost
  std::vector<float> qkv;             // [N][Q+2K], then [N][Q+2K] from the second half of `normed`
  std::vector<float> rope_cos;        // [N][D/2]
  std::vector<float> rope_sin;        // [N][D/2]
  Attend attend;                      // how this step's attention is cut, and its scratch
  ActivationBuffer attended;          // [N][Q]
  std::vector<float> router_logits;   // [N][E]
  std::vector<std::int32_t> ids;      // [N][k] by falling probability
  std::vector<float> expert_weights;  // [N][k]
  std::vector<ExpertGroup> groups;    // chosen experts, ascending
  std::vector<std::int32_t> slot_of;  // [N][k] the slot of a row's choice
  std::vector<std::int32_t> row_of;   // [S] the row a slot belongs to
  ActivationBuffer expert_act;        // [S][F] silu(gate)·up, by slot
  std::vector<float> moe_out;         // [N][H]
  // Per thread: the outputs of one chunk of rows.
  std::vector<std::vector<float>> scratch;
};

// What every step of the pass needs.
struct Pass {
  const model::Config& config;
  const Kernels& kernels;
  const Matrices& matrices;
  const model::RopeTable& rope;
  const model::StepPlan& plan;
  std::span<const std::int32_t> last_choices;  // [slots]
  KvCache& kv;
  Workspace& work;
  ThreadPool& pool;
  model::StageTap* trace;
  PhaseTimes* times = nullptr;  // of a pass that a benchmark times

  std::int64_t rows() const { return static_cast<std::int64_t>(plan.rows.size()); }
  // How many of a matrix's `rows` one task computes for `tokens` activation rows, its outputs for `kept` of
  // them in scratch memory.
  std::int64_t rows_per_task(std::int64_t rows, std::int64_t tokens, std::int64_t kept = 0) const;
  // Hands rows × width floats to the trace when it wants this stage.
  void report(model::Stage stage, int layer, const float* values, std::int64_t width) const;
};

// Rows of a weight matrix that one task computes for many tokens: large enough to hide the hand-out, small
// enough to balance, and to keep what it writes in the first-level cache.
inline constexpr std::int64_t rows_per_tile_task = 32;

// out = x · w / rms(x): one row of H floats.
void rms_norm(const Kernels& kernels, const float* x, const float* weight, std::int64_t n, float eps,
              float* out);

// normed = rmsnorm(x)·weight for every row, with its 8-bit form and, when asked, what that lost.
void norm_rows(Pass& pass, const float* weight, bool with_rest);

// The whole model on a checked step. `logits` gets those of plan.head_rows, in their order.
void forward_qwen3_moe(Pass& pass, std::span<float> logits);

}  // namespace trine::cpu
