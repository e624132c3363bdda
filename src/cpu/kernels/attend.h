#pragma once

#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unpack.h"

#include <type_traits>

// Attention over one page of the KV cache, for any instruction set V and type of keys and values.
//
// A strip of keys is widened to fp32 once and stays in the first-level cache while all queries pass over it;
// then their softmax takes the page's scores; then the values likewise. (With registers enough, keys and
// values are widened there instead, for eight queries at a time: see below.) V has vectors of eight lanes
// whatever the processor's are, so that there is one order of sums:
//   a score: lane d mod 8 adds the products of columns d in ascending order, then
//     ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))
//   the sum of a page's exponentials: lane p mod 8 adds positions p, and so on likewise
//   an output: the page before, times the change of the largest score, then positions in ascending order
// Multiply-adds are fused where the processor has them, so all such processors give the same bits.

namespace trine::cpu {
namespace {  // see the top of unpack.h

using model::KvType;

// ---- Strips: positions [first, first + count) of a page as fp32 ----

struct Strip {
  const float* values;
  std::ptrdiff_t stride;
};

// Elements that stand alone. Columns behind head_dim become zeros.
template <typename V, KvType type>
struct StoredAs {
  using Element = std::conditional_t<type == KvType::f32, float, std::uint16_t>;

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
    const Element* from = reinterpret_cast<const Element*>(page) + first * head_dim;
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
    const auto* from = reinterpret_cast<const std::int8_t*>(page) + first * head_dim;
    const float* scales = reinterpret_cast<const float*>(page + kv_page_size * head_dim) + first * blocks;
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

// Asks for `count` positions from `first` on, while something else is computed.
template <KvType type>
void prefetch_strip(const std::byte* page, std::int64_t head_dim, std::int64_t first, std::int64_t count) {
  constexpr std::int64_t width = type == KvType::f32 ? 4 : type == KvType::q8_0 ? 1 : 2;
  const std::byte* from = page + first * head_dim * width;
  for (std::int64_t at = 0; at < count * head_dim * width; at += 64) __builtin_prefetch(from + at, 0, 2);
  if constexpr (type == KvType::q8_0) {
    const std::int64_t row = head_dim / model::kv_q8_block * static_cast<std::int64_t>(sizeof(float));
    const std::byte* scales = page + kv_page_size * head_dim + first * row;
    for (std::int64_t at = 0; at < count * row; at += 64) __builtin_prefetch(scales + at, 0, 2);
  }
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

// ---- Softmax ----

// Scores become exp(score − largest), and what was summed before is to be multiplied by rescale. A NaN shows
// in the sum; `largest` is never one.
template <typename V>
void take_scores(const AttendQueries& a, std::int64_t i) {
  float* const scores = a.scores + i * kv_page_size;
  const std::int64_t seen = (a.seen[i] + 7) / 8 * 8;
  for (std::int64_t p = a.seen[i]; p < seen; ++p) scores[p] = -__builtin_inff();
  auto largest = V::splat_float(a.largest[i]);
  for (std::int64_t p = 0; p < seen; p += 8) largest = V::larger(V::load_floats(scores + p), largest);
  const float now = V::largest(largest);
  // Where nothing but −infinity was seen, all weights are 0, not exp(−infinity + infinity).
  const auto base = V::splat_float(now == -__builtin_inff() ? 0.0f : now);
  auto sum = V::splat_float(0.0f);
  for (std::int64_t p = 0; p < seen; p += 8) {
    const auto weight = exponential<V>(V::subtract(V::load_floats(scores + p), base));
    V::store(scores + p, weight);
    sum = V::add(sum, weight);
  }
  float change[8];
  V::store(change, exponential<V>(V::subtract(V::splat_float(a.largest[i]), base)));
  a.rescale[i] = change[0];
  a.sum[i] = a.sum[i] * change[0] + V::sum(sum);
  a.largest[i] = now;
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

// ---- Vectors of sixteen lanes ----
//
// Where V has them, keys and values are widened in registers for up to eight queries at once. The order of
// sums is the same: a vector holds eight columns of two positions' keys, or sixteen columns of a value.

template <typename V>
concept HasWide = requires {
  typename V::Wide;
};

constexpr std::int64_t wide_columns = 32;  // head_dim is a multiple of it

template <typename V, KvType type>
struct WideStored {
  using W = typename V::Wide;
  using Element = std::conditional_t<type == KvType::f32, float,
                                     std::conditional_t<type == KvType::q8_0, std::int8_t, std::uint16_t>>;
  const Element* elements;
  const float* scales;  // of q8_0
  std::int64_t head_dim;

  WideStored(const std::byte* page, std::int64_t head_dim)
      : elements(reinterpret_cast<const Element*>(page)),
        scales(reinterpret_cast<const float*>(page + kv_page_size * head_dim)),
        head_dim(head_dim) {}

  const float* scale(std::int64_t position, std::int64_t column) const {
    return scales + position * (head_dim / model::kv_q8_block) + column / model::kv_q8_block;
  }
  // Columns column … column + 7 of a position and of the next.
  typename W::Floats pair(std::int64_t position, std::int64_t column) const {
    const Element* const from = elements + position * head_dim + column;
    const auto values = W::load_two(from, from + head_dim, std::integral_constant<KvType, type>());
    if constexpr (type != KvType::q8_0) return values;
    return W::multiply(values, W::splat_two(*scale(position, column), *scale(position + 1, column)));
  }
  // Columns column … column + 15.
  typename W::Floats one(std::int64_t position, std::int64_t column) const {
    const auto values =
        W::load(elements + position * head_dim + column, std::integral_constant<KvType, type>());
    if constexpr (type != KvType::q8_0) return values;
    return W::multiply(values, W::splat_float(*scale(position, column)));
  }
};

// Scores of Q queries from i on with 8 positions.
template <typename V, int Q, typename Stored>
void wide_scores(const AttendQueries& a, std::int64_t i, const Stored& keys, std::int64_t position) {
  using W = typename V::Wide;
  const float* const q = a.q + i * a.head_dim;
  typename V::Floats eight[Q][8];
  each<2>([&](auto half) {
    typename W::Floats sums[Q][2];
    each<Q>([&](auto k) { each<2>([&](auto p) { sums[k][p] = W::splat_float(0.0f); }); });
    for (std::int64_t d = 0; d < a.head_dim; d += 8) {
      typename W::Floats key[2];
      each<2>([&](auto p) { key[p] = keys.pair(position + 4 * half + 2 * p, d); });
      each<Q>([&](auto k) {
        const auto query = W::load_twice(q + k * a.head_dim + d);
        each<2>([&](auto p) { sums[k][p] = W::multiply_add(query, key[p], sums[k][p]); });
      });
    }
    each<Q>([&](auto k) {
      each<2>([&](auto p) {
        eight[k][4 * half + 2 * p] = W::low(sums[k][p]);
        eight[k][4 * half + 2 * p + 1] = W::high(sums[k][p]);
      });
    });
  });
  each<Q>([&](auto k) { V::store(a.scores + (i + k) * kv_page_size + position, V::sums(eight[k])); });
}

// out = out · rescale + Σ_p weight[p] · value[p] for Q queries from i on, which see the same positions.
template <typename V, int Q, typename Stored>
void wide_values(const AttendQueries& a, std::int64_t i, const Stored& values) {
  using W = typename V::Wide;
  const std::int64_t seen = a.seen[i];
  const float* const weights = a.scores + i * kv_page_size;
  for (std::int64_t d = 0; d < a.head_dim; d += wide_columns) {
    float* const out = a.out + i * a.head_dim + d;
    typename W::Floats sums[Q][2];
    each<Q>([&](auto k) {
      const auto rescale = W::splat_float(a.rescale[i + k]);
      each<2>(
          [&](auto c) { sums[k][c] = W::multiply(W::load_floats(out + k * a.head_dim + 16 * c), rescale); });
    });
    for (std::int64_t p = 0; p < seen; ++p) {
      typename W::Floats value[2];
      each<2>([&](auto c) { value[c] = values.one(p, d + 16 * c); });
      each<Q>([&](auto k) {
        const auto weight = W::splat_float(weights[k * kv_page_size + p]);
        each<2>([&](auto c) { sums[k][c] = W::multiply_add(weight, value[c], sums[k][c]); });
      });
    }
    each<Q>([&](auto k) { each<2>([&](auto c) { W::store(out + k * a.head_dim + 16 * c, sums[k][c]); }); });
  }
}

// body(std::integral_constant<int, Q>, i) for n queries from `first` on, Q of them at a time.
template <typename F>
void each_query_run(std::int64_t first, std::int64_t n, F&& body) {
  const std::int64_t end = first + n;
  const auto take = [&](auto q) {
    for (; first + q <= end; first += q) body(q, first);
  };
  take(std::integral_constant<int, 8>());
  take(std::integral_constant<int, 4>());
  take(std::integral_constant<int, 2>());
  take(std::integral_constant<int, 1>());
}

template <typename V, KvType type>
void attend_page_wide(const KvPage& page, const AttendQueries& a) {
  const WideStored<V, type> keys(page.keys, a.head_dim), values(page.values, a.head_dim);
  each_query_run(0, a.count, [&]<int Q>(std::integral_constant<int, Q>, std::int64_t i) {
    const std::int64_t seen = a.seen[i + Q - 1];
    for (std::int64_t p = 0; p < seen; p += 8) {
      if (i == 0) prefetch_strip<type>(page.values, a.head_dim, p, 8);
      wide_scores<V, Q>(a, i, keys, p);
    }
  });
  for (std::int64_t i = 0; i < a.count; ++i) take_scores<V>(a, i);
  if (page.next_keys != nullptr) prefetch_strip<type>(page.next_keys, a.head_dim, 0, kv_page_size);
  for (std::int64_t i = 0; i < a.count;) {
    std::int64_t run = 1;
    while (i + run < a.count && a.seen[i + run] == a.seen[i]) ++run;
    each_query_run(i, run, [&]<int Q>(std::integral_constant<int, Q>, std::int64_t first) {
      wide_values<V, Q>(a, first, values);
    });
    i += run;
  }
}

template <typename V, KvType type>
[[gnu::flatten]] void attend_page(const KvPage& page, const AttendQueries& a) {
  if constexpr (HasWide<V>)
    if (a.head_dim % wide_columns == 0) return attend_page_wide<V, type>(page, a);
  const std::int64_t seen = (a.seen[a.count - 1] + 7) / 8 * 8;
  for (std::int64_t first = 0; first < seen; first += attend_strip) {
    const std::int64_t count = seen - first < attend_strip ? seen - first : attend_strip;
    const Strip keys = StoredAs<V, type>::strip(page.keys, a.head_dim, first, count, a.widened);
    prefetch_strip<type>(page.values, a.head_dim, first, count);
    score_strip<V>(a, keys, first, count);
  }
  for (std::int64_t i = 0; i < a.count; ++i) take_scores<V>(a, i);
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
