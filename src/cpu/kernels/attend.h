#pragma once

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/kv_page.h"
#include "cpu/kernels/softmax.h"
#include "cpu/kernels/unpack.h"
#include "cpu/kernels/wide_attend.h"

// Attention over one page of the KV cache, for any instruction set V and type of keys and values.
//
// A strip of keys is widened to fp32 once and stays in the first-level cache while all queries pass over it;
// then their softmax takes the page's scores; then the values likewise. (wide_attend.h is the form for
// vectors of sixteen lanes and registers enough for eight queries at a time.) V has vectors of eight lanes
// whatever the processor's are, so that there is one order of sums:
//   a score: lane d mod 8 adds the products of columns d in ascending order, then
//     ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))
//   the sum of a page's exponentials: lane p mod 8 adds positions p, and so on likewise
//   an output: the page before, times the change of the largest score, then positions in ascending order
// Multiply-adds are fused where the processor has them, so all such processors give the same bits.

namespace trine::cpu {
namespace {  // see the top of unpack.h

// ---- Strips: positions [first, first + count) of a page as fp32 ----

struct Strip {
  const float* values;
  std::ptrdiff_t stride;
};

// Elements that stand alone. Columns behind head_dim become zeros.
template <typename V, KvType type>
struct StoredAs {
  using Element = KvElement<type>;

  static typename V::Floats widened(const Element* from) {
    if constexpr (type == KvType::f32)
      return V::load_floats(from);
    else if constexpr (type == KvType::f16)
      return V::load_f16(from);
    else
      return V::load_bf16(from);
  }
  static Strip strip(const std::byte* page, std::int64_t head_dim, std::int64_t first, std::int64_t count,
                     float* out) {
    const Element* from = kv_elements<type>(page) + first * head_dim;
    const std::int64_t stride = attend_stride(head_dim);
    for (std::int64_t p = 0; p < count; ++p, from += head_dim) {
      float* const row = out + p * stride;
      std::int64_t d = 0;
      for (; d + 8 <= head_dim; d += 8) V::store(row + d, widened(from + d));
      if (d < head_dim) {
        Element last[8] = {};
        __builtin_memcpy(last, from + d, static_cast<std::size_t>(head_dim - d) * sizeof(Element));
        V::store(row + d, widened(last));
      }
    }
    return {out, stride};
  }
};

template <typename V>
struct StoredAs<V, KvType::q8_0> {
  static Strip strip(const std::byte* page, std::int64_t head_dim, std::int64_t first, std::int64_t count,
                     float* out) {
    const std::int64_t blocks = head_dim / model::kv_q8_block;
    const auto* from = kv_elements<KvType::q8_0>(page) + first * head_dim;
    const float* scales = kv_scales(page, head_dim) + first * blocks;
    float* to = out;
    for (std::int64_t block = 0; block < count * blocks; ++block) {
      const auto scale = V::splat_float(scales[block]);
      each<4>([&](auto i) { V::store(to + 8 * i, V::multiply(V::load_int8(from + 8 * i), scale)); });
      from += model::kv_q8_block;
      to += model::kv_q8_block;
    }
    return {out, head_dim};
  }
};

// Asks for `count` positions from `first` on.
template <KvType type>
void prefetch_strip(const std::byte* page, std::int64_t head_dim, std::int64_t first, std::int64_t count) {
  prefetch_lines(kv_elements<type>(page) + first * head_dim,
                 count * head_dim * static_cast<std::int64_t>(sizeof(KvElement<type>)));
  prefetch_scales<type>(page, head_dim, first * head_dim, count * head_dim);
}

// ---- Scores ----

// Running sums of Q queries with 4 positions, sums[4·query + position]. Twelve of them hide the latency of a
// multiply-add, and fill AVX2's registers with three queries and a key.
template <typename V, int Q>
void multiply_keys(const float* q, std::ptrdiff_t q_stride, Strip keys, typename V::Floats (&sums)[4 * Q]) {
  each<4 * Q>([&](auto i) { sums[i] = V::splat_float(0.0f); });
  for (std::ptrdiff_t d = 0; d < q_stride; d += 8) {
    typename V::Floats query[Q];
    each<Q>([&](auto i) { query[i] = V::load_floats(q + i * q_stride + d); });
    each<4>([&](auto p) {
      const auto key = V::load_floats(keys.values + p * keys.stride + d);
      each<Q>([&](auto i) { sums[4 * i + p] = V::multiply_add(query[i], key, sums[4 * i + p]); });
    });
  }
}

// Scores of 1 to 3 queries with 8 positions.
template <typename V, int Q>
void score_tile(const float* q, std::ptrdiff_t q_stride, Strip keys, float* scores) {
  typename V::Floats first[4 * Q], second[4 * Q];
  multiply_keys<V, Q>(q, q_stride, keys, first);
  multiply_keys<V, Q>(q, q_stride, {keys.values + 4 * keys.stride, keys.stride}, second);
  each<Q>([&](auto i) {
    typename V::Floats eight[8];
    each<4>([&](auto p) {
      eight[p] = first[4 * i + p];
      eight[4 + p] = second[4 * i + p];
    });
    V::store(scores + i * kv_page_size, V::sums(eight));
  });
}

template <typename V, int Q>
void score_tiles(const AttendQueries& a, std::int64_t i, Strip keys, std::int64_t first, std::int64_t count) {
  const std::ptrdiff_t stride = attend_stride(a.head_dim);
  for (std::int64_t p = 0; p < count; p += 8)
    score_tile<V, Q>(a.q + i * stride, stride, {keys.values + p * keys.stride, keys.stride},
                     a.scores + i * kv_page_size + first + p);
}

// `count` positions, a multiple of 8, from scores[…][first] on.
template <typename V>
void score_strip(const AttendQueries& a, Strip keys, std::int64_t first, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 3 <= a.count; i += 3) score_tiles<V, 3>(a, i, keys, first, count);
  if (a.count - i == 2) score_tiles<V, 2>(a, i, keys, first, count);
  if (a.count - i == 1) score_tiles<V, 1>(a, i, keys, first, count);
}

// ---- Values ----

// out = out · rescale + Σ_p weight[p] · value[p] for Q queries and C groups of 8 columns.
template <typename V, int Q, int C>
void value_tile(const float* weights, Strip values, std::int64_t count, const float* rescale, float* out,
                std::ptrdiff_t out_stride) {
  typename V::Floats sums[Q][C];
  each<Q>([&](auto i) {
    const auto scale = V::splat_float(rescale[i]);
    each<C>([&](auto c) { sums[i][c] = V::multiply(V::load_floats(out + i * out_stride + 8 * c), scale); });
  });
  for (std::int64_t p = 0; p < count; ++p) {
    typename V::Floats value[C];
    each<C>([&](auto c) { value[c] = V::load_floats(values.values + p * values.stride + 8 * c); });
    each<Q>([&](auto i) {
      const auto weight = V::splat_float(weights[i * kv_page_size + p]);
      each<C>([&](auto c) { sums[i][c] = V::multiply_add(weight, value[c], sums[i][c]); });
    });
  }
  each<Q>([&](auto i) { each<C>([&](auto c) { V::store(out + i * out_stride + 8 * c, sums[i][c]); }); });
}

template <typename V, int Q>
void value_tiles(const AttendQueries& a, std::int64_t i, Strip values, std::int64_t first,
                 std::int64_t count) {
  const std::ptrdiff_t stride = attend_stride(a.head_dim);
  const float* const weights = a.scores + i * kv_page_size + first;
  const auto from = [&](std::ptrdiff_t d) { return Strip{values.values + d, values.stride}; };
  float* const out = a.out + i * stride;
  std::ptrdiff_t d = 0;
  for (; d + 32 <= stride; d += 32)
    value_tile<V, Q, 4>(weights, from(d), count, a.rescale + i, out + d, stride);
  for (; d < stride; d += 8) value_tile<V, Q, 1>(weights, from(d), count, a.rescale + i, out + d, stride);
}

// Queries that see the same positions share a tile: what one does not see must not reach it even times 0.
template <typename V>
void add_values(const AttendQueries& a, Strip values, std::int64_t first, std::int64_t count) {
  for (std::int64_t i = 0; i < a.count;) {
    std::int64_t run = 1;
    while (run < 3 && i + run < a.count && a.seen[i + run] == a.seen[i]) ++run;
    const std::int64_t seen = a.seen[i] - first < count ? a.seen[i] - first : count;
    if (seen > 0) {
      if (run == 3) value_tiles<V, 3>(a, i, values, first, seen);
      if (run == 2) value_tiles<V, 2>(a, i, values, first, seen);
      if (run == 1) value_tiles<V, 1>(a, i, values, first, seen);
      for (std::int64_t k = i; k < i + run; ++k) a.rescale[k] = 1.0f;
    }
    i += run;
  }
}

template <typename V, KvType type>
[[gnu::flatten]] void attend_page(const KvPage& page, const AttendQueries& a) {
  if constexpr (HasWide<V>)
    if (a.head_dim % attend_wide_columns == 0) return attend_page_wide<V, type>(page, a);
  const std::int64_t seen = (a.seen[a.count - 1] + 7) / 8 * 8;
  for (std::int64_t first = 0; first < seen; first += attend_strip) {
    const std::int64_t count = seen - first < attend_strip ? seen - first : attend_strip;
    const Strip keys = StoredAs<V, type>::strip(page.keys, a.head_dim, first, count, a.widened);
    prefetch_strip<type>(page.values, a.head_dim, first, count);
    score_strip<V>(a, keys, first, count);
  }
  take_scores<V>(a);
  for (std::int64_t first = 0; first < seen; first += attend_strip) {
    const std::int64_t count = seen - first < attend_strip ? seen - first : attend_strip;
    const Strip values = StoredAs<V, type>::strip(page.values, a.head_dim, first, count, a.widened);
    if (page.next_keys != nullptr) prefetch_strip<type>(page.next_keys, a.head_dim, first, count);
    add_values<V>(a, values, first, count);
  }
}

template <typename V>
AttendPage find_attend(KvType type) {
  switch (type) {
    case KvType::f32:
      return attend_page<V, KvType::f32>;
    case KvType::f16:
      return attend_page<V, KvType::f16>;
    case KvType::bf16:
      return attend_page<V, KvType::bf16>;
    case KvType::q8_0:
      return attend_page<V, KvType::q8_0>;
  }
  return nullptr;
}

}  // namespace
}  // namespace trine::cpu
