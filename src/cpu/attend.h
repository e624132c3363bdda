#pragma once

#include "base/thread_pool.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kv_cache.h"
#include "model/config.h"
#include "model/step.h"

#include <cstdint>
#include <vector>

namespace trine::cpu {

// Positions of a sequence whose softmax is computed by itself. Segments are merged in ascending order, so
// that a row's bits depend on nothing but its sequence, however the work was cut. 512: keys and values of a
// KV head fill half of a second-level cache (256 KiB in f16, D = 128), one sequence at 8k positions with 4 KV
// heads is 64 pieces of work, and merging costs less than a hundredth.
inline constexpr std::int32_t attend_segment = 512;
static_assert(attend_segment % KvCache::page_size == 0);

// Rows of N floats one after the other, `stride` apart.
struct Rows {
  float* first = nullptr;
  std::int64_t stride = 0;

  float* row(std::int64_t n) const { return first + n * stride; }
};

// softmax(q·kᵀ/√D)·v over positions 0 … row.position, for all rows of a step. Work is cut into units:
// consecutive rows of a sequence and the query heads of one KV head, which share what is read, over the whole
// sequence; of sequences that are long beside the others each segment is a unit.
class Attend {
 public:
  Attend(const model::Config& config, std::int64_t max_rows, std::int64_t max_positions, int threads);

  // Cuts a step into units, the same for all layers.
  void plan(const model::StepPlan& step);
  // The planned step in one layer. q and out: [N][n_heads·D].
  void run(const Kernels& kernels, const KvCache& kv, ThreadPool& pool, const model::StepPlan& step,
           int layer, Rows q, Rows out);

  std::size_t units() const { return units_.size(); }
  bool is_split() const { return !split_rows_.empty(); }

 private:
  struct Tile {  // rows of one slot at consecutive positions
    std::int64_t first_row = 0;
    std::int32_t rows = 0;
    std::int32_t position = 0;     // of the first
    std::int32_t segments = 0;     // that the last row sees
    std::int64_t first_part = -1;  // of the first row among parts; -1: not split

    std::int64_t cost() const { return std::int64_t{rows} * segments; }
  };
  struct Unit {
    std::int32_t tile = 0;
    std::int32_t kv_head = 0;
    std::int32_t first_head = 0, heads = 0;  // among those of the KV head
    std::int32_t first_segment = 0, segments = 0;
  };
  // What a segment, or all of them up to one, came to for a query.
  struct Part {
    float* out;  // [D]
    float* largest;
    float* sum;
  };
  // A row whose segments lie in parts_: [segments][n_heads] from first_part on.
  struct SplitRow {
    std::int64_t row = 0;
    std::int64_t first_part = 0;
    std::int32_t segments = 0;
  };
  struct Scratch;

  void make_tiles(const model::StepPlan& step, std::int32_t rows_per_tile);
  void split_long_tiles();
  void make_units();
  Scratch scratch(int thread);
  void run_unit(const Unit& unit, const Kernels& kernels, const KvCache& kv, const model::StepPlan& step,
                int layer, Rows q, Rows out, int thread);
  void run_segment(const Tile& tile, const Unit& unit, const Kernels& kernels, const KvCache& kv,
                   const model::StepPlan& step, int layer, std::int32_t segment, const Scratch& work) const;
  void merge_split_rows(const Kernels& kernels, ThreadPool& pool, Rows out);
  static void merge(const Kernels& kernels, const Part& next, const Part& into, std::int64_t head_dim);
  static void finish(const Part& part, float* out, std::int64_t head_dim);
  Part part(std::int64_t index);
  std::int64_t segments_of(std::int32_t position) const { return position / attend_segment + 1; }

  std::int64_t head_dim_, n_heads_, n_kv_heads_, group_;  // group: query heads of a KV head
  int threads_;
  std::int64_t max_parts_;
  std::vector<Tile> tiles_;
  std::vector<Unit> units_;
  std::vector<SplitRow> split_rows_;
  std::vector<float> parts_;                 // [max_parts][D + 2]
  std::vector<std::vector<float>> scratch_;  // [threads]
};

}  // namespace trine::cpu
