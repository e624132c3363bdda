#include "cpu/attend.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace trine::cpu {
namespace {

// Queries of a unit: as many as make widening a key small beside using it, while they, their outputs and
// their scores (80 KiB, D = 128) stay in the second-level cache.
constexpr std::int64_t max_queries = 64;

// Of all rows, heads and segments that are split: 8 MiB with D = 128, a batch of 8 rows of 32 heads at 32k.
// What is beyond is not split; a batch larger than that has work for all threads without.
constexpr std::int64_t usual_parts = 16384;

constexpr float no_score = -INFINITY;

}  // namespace

// Pointers into a thread's memory, for up to max_queries.
struct Attend::Scratch {
  float* q;
  float* out;     // of a segment
  float* total;   // of all so far
  float* scores;  // [64] each
  float* widened;
  float *largest, *sum, *rescale, *total_largest, *total_sum;

  static std::size_t floats(std::int64_t head_dim) {
    return static_cast<std::size_t>(max_queries * (3 * attend_stride(head_dim) + kv_page_size + 5) +
                                    attend_widened(head_dim));
  }
  Scratch(float* at, std::int64_t head_dim) {
    const std::int64_t wide = max_queries * attend_stride(head_dim);
    const auto take = [&](std::int64_t n) {
      float* const taken = at;
      at += n;
      return taken;
    };
    q = take(wide);
    out = take(wide);
    total = take(wide);
    scores = take(max_queries * kv_page_size);
    widened = take(attend_widened(head_dim));
    for (float** one : {&largest, &sum, &rescale, &total_largest, &total_sum}) *one = take(max_queries);
  }
};

Attend::Attend(const model::Config& config, std::int64_t max_rows, std::int64_t max_positions, int threads)
    : head_dim_(config.head_dim),
      n_heads_(config.n_heads),
      n_kv_heads_(config.n_kv_heads),
      group_(n_heads_ / n_kv_heads_),
      threads_(threads),
      scratch_(static_cast<std::size_t>(threads)) {
  const std::int64_t segments = (max_positions + attend_segment - 1) / attend_segment;
  const std::int64_t of_a_row = segments * n_heads_;
  max_parts_ =
      segments == 1 || threads == 1 ? 0 : std::min(max_rows * of_a_row, std::max(usual_parts, of_a_row));
  parts_.resize(static_cast<std::size_t>(max_parts_ * (head_dim_ + 2)));
  for (std::vector<float>& one : scratch_) one.resize(Scratch::floats(head_dim_));
}

Attend::Scratch Attend::scratch(int thread) {
  return {scratch_[static_cast<std::size_t>(thread)].data(), head_dim_};
}

Attend::Part Attend::part(std::int64_t index) {
  float* const at = parts_.data() + index * (head_dim_ + 2);
  return {at, at + head_dim_, at + head_dim_ + 1};
}

// ---- Planning ----

void Attend::make_tiles(const model::StepPlan& step, std::int32_t rows_per_tile) {
  tiles_.clear();
  for (std::size_t n = 0; n < step.rows.size(); ++n) {
    const model::Row& row = step.rows[n];
    const bool follows =
        n > 0 && step.rows[n - 1].slot == row.slot && step.rows[n - 1].position + 1 == row.position;
    if (!follows || tiles_.back().rows == rows_per_tile)
      tiles_.push_back({.first_row = static_cast<std::int64_t>(n), .position = row.position});
    ++tiles_.back().rows;
    tiles_.back().segments = static_cast<std::int32_t>(segments_of(row.position));
  }
  // What takes long begins early.
  std::stable_sort(tiles_.begin(), tiles_.end(),
                   [](const Tile& a, const Tile& b) { return a.cost() > b.cost(); });
}

// Splits tiles that take more than half of what a thread has to do.
void Attend::split_long_tiles() {
  split_rows_.clear();
  std::int64_t all = 0, parts = 0;
  for (const Tile& tile : tiles_) all += tile.cost() * n_kv_heads_;
  for (Tile& tile : tiles_) {
    const std::int64_t wanted = tile.cost() * n_heads_;
    if (threads_ == 1 || tile.segments == 1 || tile.cost() * 2 * threads_ <= all ||
        parts + wanted > max_parts_)
      continue;
    tile.first_part = parts;
    for (std::int32_t r = 0; r < tile.rows; ++r)
      split_rows_.push_back({tile.first_row + r, parts + r * tile.segments * n_heads_,
                             static_cast<std::int32_t>(segments_of(tile.position + r))});
    parts += wanted;
  }
}

// Units of one KV head stand together, so that threads share its keys and values.
void Attend::make_units() {
  std::int64_t count = 0;
  for (const Tile& tile : tiles_) count += n_kv_heads_ * (tile.first_part < 0 ? 1 : tile.segments);
  // Too few for all threads: each takes some of the heads, and reads what the others read.
  const std::int64_t cuts = (threads_ + count - 1) / std::max<std::int64_t>(count, 1);
  const std::int64_t heads = std::min((group_ + cuts - 1) / cuts, max_queries);
  units_.clear();
  for (std::int32_t kv_head = 0; kv_head < n_kv_heads_; ++kv_head)
    for (std::size_t t = 0; t < tiles_.size(); ++t) {
      const bool is_split = tiles_[t].first_part >= 0;
      const std::int32_t segments = is_split ? 1 : tiles_[t].segments;
      for (std::int32_t segment = 0; segment < tiles_[t].segments; segment += segments)
        for (std::int64_t head = 0; head < group_; head += heads)
          units_.push_back({.tile = static_cast<std::int32_t>(t),
                            .kv_head = kv_head,
                            .first_head = static_cast<std::int32_t>(head),
                            .heads = static_cast<std::int32_t>(std::min(heads, group_ - head)),
                            .first_segment = segment,
                            .segments = segments});
    }
}

void Attend::plan(const model::StepPlan& step) {
  const auto rows = static_cast<std::int64_t>(step.rows.size());
  std::int64_t rows_per_tile = std::max<std::int64_t>(1, max_queries / group_);
  while (rows_per_tile > 1 && (rows + rows_per_tile - 1) / rows_per_tile * n_kv_heads_ < 2 * threads_)
    rows_per_tile = (rows_per_tile + 1) / 2;
  make_tiles(step, static_cast<std::int32_t>(rows_per_tile));
  split_long_tiles();
  make_units();
}

// ---- Running ----

// into = the softmax over both, which are each relative to their own largest score.
void Attend::merge(const Kernels& kernels, const Part& next, const Part& into, std::int64_t head_dim) {
  const float largest = std::max(*into.largest, *next.largest);
  const float base = largest == no_score ? 0.0f : largest;
  float change[2] = {*into.largest - base, *next.largest - base};
  kernels.exp(change, change, 2);
  *into.largest = largest;
  *into.sum = *into.sum * change[0] + *next.sum * change[1];
  for (std::int64_t d = 0; d < head_dim; ++d) into.out[d] = into.out[d] * change[0] + next.out[d] * change[1];
}

void Attend::finish(const Part& part, float* out, std::int64_t head_dim) {
  const float inverse = 1.0f / *part.sum;
  for (std::int64_t d = 0; d < head_dim; ++d) out[d] = part.out[d] * inverse;
}

// One segment for all queries of a unit that see it, into work.out, largest and sum.
void Attend::run_segment(const Tile& tile, const Unit& unit, const Kernels& kernels, const KvCache& kv,
                         const model::StepPlan& step, int layer, std::int32_t segment,
                         const Scratch& work) const {
  const std::int64_t stride = attend_stride(head_dim_), heads = unit.heads;
  const AttendPage attend = kernels.attend(kv.type());
  const auto& pages = step.slot_of(step.rows[static_cast<std::size_t>(tile.first_row)]).pages;
  const std::int32_t last = tile.position + tile.rows - 1;
  const auto row_that_sees = [&](std::int32_t position) { return std::max(position - tile.position, 0); };
  const auto page_at = [&](std::int32_t position) {
    return pages[static_cast<std::size_t>(position / KvCache::page_size)];
  };

  const std::int32_t begin = segment * attend_segment;
  const std::int64_t fresh = row_that_sees(begin) * heads, end = tile.rows * heads;
  std::fill(work.out + fresh * stride, work.out + end * stride, 0.0f);
  std::fill(work.largest + fresh, work.largest + end, no_score);
  std::fill(work.sum + fresh, work.sum + end, 0.0f);
  std::int32_t seen[max_queries];
  for (std::int32_t first = begin; first <= std::min(last, begin + attend_segment - 1);
       first += KvCache::page_size) {
    const std::int64_t from = row_that_sees(first) * heads;
    for (std::int64_t i = from; i < end; ++i) {
      const auto position = tile.position + static_cast<std::int32_t>(i / heads);
      seen[i] = std::min(position - first + 1, KvCache::page_size);
    }
    const std::int32_t next = first + KvCache::page_size;
    attend({kv.keys(layer, page_at(first), unit.kv_head), kv.values(layer, page_at(first), unit.kv_head),
            next <= last ? kv.keys(layer, page_at(next), unit.kv_head) : nullptr},
           {.count = end - from,
            .head_dim = head_dim_,
            .q = work.q + from * stride,
            .seen = seen + from,
            .largest = work.largest + from,
            .sum = work.sum + from,
            .out = work.out + from * stride,
            .scores = work.scores,
            .rescale = work.rescale,
            .widened = work.widened});
  }
}

void Attend::run_unit(const Unit& unit, const Kernels& kernels, const KvCache& kv,
                      const model::StepPlan& step, int layer, Rows q, Rows out, int thread) {
  const Tile& tile = tiles_[static_cast<std::size_t>(unit.tile)];
  const Scratch work = scratch(thread);
  const std::int64_t stride = attend_stride(head_dim_);
  const std::int64_t first_head = unit.kv_head * group_ + unit.first_head;
  const std::int64_t queries = std::int64_t{tile.rows} * unit.heads;
  const auto row_of = [&](std::int64_t i) { return i / unit.heads; };
  const auto head_of = [&](std::int64_t i) { return first_head + i % unit.heads; };

  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim_));
  for (std::int64_t i = 0; i < queries; ++i) {
    const float* from = q.row(tile.first_row + row_of(i)) + head_of(i) * head_dim_;
    float* const to = work.q + i * stride;
    for (std::int64_t d = 0; d < head_dim_; ++d) to[d] = from[d] * scale;
    std::fill(to + head_dim_, to + stride, 0.0f);
  }

  const bool is_split = tile.first_part >= 0;
  for (std::int32_t segment = unit.first_segment; segment < unit.first_segment + unit.segments; ++segment) {
    run_segment(tile, unit, kernels, kv, step, layer, segment, work);
    for (std::int64_t i = 0; i < queries; ++i) {
      if (segments_of(tile.position + static_cast<std::int32_t>(row_of(i))) <= segment) continue;
      const Part one = {work.out + i * stride, work.largest + i, work.sum + i};
      const Part total = {work.total + i * stride, work.total_largest + i, work.total_sum + i};
      if (!is_split && segment > 0) {
        merge(kernels, one, total, head_dim_);
        continue;
      }
      const Part to =
          is_split ? part(tile.first_part + (row_of(i) * tile.segments + segment) * n_heads_ + head_of(i))
                   : total;
      std::copy_n(one.out, head_dim_, to.out);
      *to.largest = *one.largest;
      *to.sum = *one.sum;
    }
  }
  if (is_split) return;
  for (std::int64_t i = 0; i < queries; ++i)
    finish({work.total + i * stride, work.total_largest + i, work.total_sum + i},
           out.row(tile.first_row + row_of(i)) + head_of(i) * head_dim_, head_dim_);
}

void Attend::merge_split_rows(const Kernels& kernels, ThreadPool& pool, Rows out) {
  const auto count = static_cast<std::int64_t>(split_rows_.size()) * n_heads_;
  pool.parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t task = begin; task < end; ++task) {
      const SplitRow& row = split_rows_[static_cast<std::size_t>(task / n_heads_)];
      const std::int64_t head = task % n_heads_;
      const Part total = part(row.first_part + head);
      for (std::int32_t segment = 1; segment < row.segments; ++segment)
        merge(kernels, part(row.first_part + segment * n_heads_ + head), total, head_dim_);
      finish(total, out.row(row.row) + head * head_dim_, head_dim_);
    }
  });
}

void Attend::run(const Kernels& kernels, const KvCache& kv, ThreadPool& pool, const model::StepPlan& step,
                 int layer, Rows q, Rows out) {
  pool.parallel_for(
      static_cast<std::int64_t>(units_.size()), 1, [&](std::int64_t begin, std::int64_t end, int thread) {
        for (std::int64_t i = begin; i < end; ++i)
          run_unit(units_[static_cast<std::size_t>(i)], kernels, kv, step, layer, q, out, thread);
      });
  if (is_split()) merge_split_rows(kernels, pool, out);
}

}  // namespace trine::cpu
