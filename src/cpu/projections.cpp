#include "cpu/projections.h"

#include <algorithm>

namespace trine::cpu {

// qkv[n] = W_q h, W_k h, W_v h, as one phase: the three matrices are one list of rows. A matrix that reads
// 8-bit activations reads what they lost too, as rows of their own: of all matrices these three decide
// whether fast numerics keep leg F of the contract (docs/performance.md).
void project_qkv(Pass& pass, const LayerMatrices& m) {
  const PhaseTimer timer(pass.times, Phase::qkv);
  const std::int64_t width = pass.config.q_size() + 2 * pass.config.kv_size();
  const std::int64_t rows = pass.rows();
  const Activations x = pass.work.normed.view(rows), both = pass.work.normed.view(2 * rows);
  const std::int64_t task_rows = pass.rows_per_task(width, rows);
  pass.pool.parallel_ranges(width, task_rows, [&](std::int64_t begin, std::int64_t end, int) {
    std::int64_t first = 0;  // of the current matrix, in the list
    for (const Matrix* matrix : {&m.attn_q, &m.attn_k, &m.attn_v}) {
      const std::int64_t from = std::max(begin, first);
      const std::int64_t to = std::min(end, first + matrix->rows());
      if (from < to) {
        float* out = pass.work.qkv.data() + from;
        matrix->apply(matrix->slice(from - first, to - first), matrix->reads_q8 ? both : x, out, width);
        for (std::int64_t n = 0; matrix->reads_q8 && n < rows; ++n)
          for (std::int64_t i = 0; i < to - from; ++i) out[n * width + i] += out[(rows + n) * width + i];
      }
      first += matrix->rows();
    }
  });
}

// x += W_o · attended
void project_output(Pass& pass, const LayerMatrices& m) {
  const PhaseTimer timer(pass.times, Phase::attn_output);
  const std::int64_t hidden = pass.config.hidden_size;
  if (m.attn_output.reads_q8) {
    pass.pool.parallel_for(pass.rows(), 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t n = begin; n < end; ++n) pass.work.attended.quantize_row(pass.kernels, n);
    });
  }
  const Activations attended = pass.work.attended.view(pass.rows());
  const std::int64_t task_rows = pass.rows_per_task(hidden, pass.rows(), pass.rows());
  pass.pool.parallel_ranges(hidden, task_rows, [&](std::int64_t begin, std::int64_t end, int thread) {
    const std::int64_t chunk = end - begin;
    float* out = pass.work.scratch[static_cast<std::size_t>(thread)].data();  // [N][chunk]
    m.attn_output.apply(m.attn_output.slice(begin, end), attended, out, chunk);
    for (std::int64_t n = 0; n < pass.rows(); ++n) {
      float* x = pass.work.x.data() + n * hidden + begin;
      for (std::int64_t i = 0; i < chunk; ++i) x[i] += out[n * chunk + i];
    }
  });
}

}  // namespace trine::cpu
