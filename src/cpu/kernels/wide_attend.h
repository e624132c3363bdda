#pragma once

#include "cpu/kernels/kv_page.h"
#include "cpu/kernels/softmax.h"
#include "cpu/kernels/unpack.h"

#include <type_traits>

// Attention over a page with vectors of sixteen lanes, for up to eight queries at once. The order of sums is
// that of attend.h: a vector holds eight columns of two positions' keys, or sixteen columns of a value. Few
// queries widen keys and values in registers; where there are many, widening is done once for all of them, in
// memory that stays in the first-level cache, as converting takes the time of a multiply-add.

namespace trine::cpu {
namespace {  // see the top of unpack.h

constexpr std::int64_t many_queries = 16;

// Keys or values of a page as they are stored.
template <typename V, KvType type>
struct WideStored {
  using W = typename V::Wide;
  using Element = KvElement<type>;
  const Element* elements;
  const float* scales;  // of q8_0
  std::int64_t head_dim;

  WideStored(const std::byte* page, std::int64_t head_dim)
      : elements(kv_elements<type>(page)), scales(kv_scales(page, head_dim)), head_dim(head_dim) {}

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

// Pairs of keys of `count` positions from `first` on, widened: [pair][D/8][16].
template <typename V>
struct WidenedKeys {
  using W = typename V::Wide;
  const float* at;
  std::int64_t first, head_dim;

  template <typename Stored>
  WidenedKeys(const Stored& keys, std::int64_t first, std::int64_t count, float* to)
      : at(to), first(first), head_dim(keys.head_dim) {
    for (std::int64_t p = first; p < first + count; p += 2)
      for (std::int64_t d = 0; d < head_dim; d += 8, to += 16) W::store(to, keys.pair(p, d));
  }
  typename W::Floats pair(std::int64_t position, std::int64_t column) const {
    return W::load_floats(at + (position - first) * head_dim + 2 * column);
  }
};

// Columns first … first + 31 of values of `count` positions, widened: [count][32].
template <typename V>
struct WidenedValues {
  using W = typename V::Wide;
  const float* at;
  std::int64_t first;

  template <typename Stored>
  WidenedValues(const Stored& values, std::int64_t first, std::int64_t count, float* to)
      : at(to), first(first) {
    for (std::int64_t p = 0; p < count; ++p)
      for (std::int64_t d = first; d < first + attend_wide_columns; d += 16, to += 16)
        W::store(to, values.one(p, d));
  }
  typename W::Floats one(std::int64_t position, std::int64_t column) const {
    return W::load_floats(at + position * attend_wide_columns + column - first);
  }
};

// What comes next, asked for a step of a loop at a time: a burst would wait until memory has taken it. A step
// of the loops below is 32 elements, of this page and of what is asked for.
template <KvType type>
struct Ask {
  static constexpr std::int64_t bytes = 32 * sizeof(KvElement<type>);
  const std::byte* at;

  void step() {
    prefetch_lines(at, bytes);
    at += bytes;
  }
};
struct AskNothing {
  static void step() {}
};

// Scores of Q queries from i on with 8 positions.
template <typename V, int Q, typename Keys, typename Next>
void wide_scores(const AttendQueries& a, std::int64_t i, const Keys& keys, std::int64_t position, Next next) {
  using W = typename V::Wide;
  const float* const q = a.q + i * a.head_dim;
  typename W::Floats folded[2][Q];
  each<2>([&](auto half) {
    typename W::Floats sums[Q][2];
    each<Q>([&](auto k) { each<2>([&](auto p) { sums[k][p] = W::splat_float(0.0f); }); });
    for (std::int64_t d = 0; d < a.head_dim; d += 8) {
      typename W::Floats key[2];
      each<2>([&](auto p) { key[p] = keys.pair(position + 4 * half + 2 * p, d); });
      next.step();
      each<Q>([&](auto k) {
        const auto query = W::load_twice(q + k * a.head_dim + d);
        each<2>([&](auto p) { sums[k][p] = W::multiply_add(query, key[p], sums[k][p]); });
      });
    }
    each<Q>([&](auto k) { folded[half][k] = W::fold(sums[k][0], sums[k][1]); });
  });
  float* const scores = a.scores + i * kv_page_size + position;
  if constexpr (Q == 1)
    W::store_sums(folded[0][0], folded[1][0], folded[0][0], folded[1][0], scores, scores);  // twice the same
  else
    each<Q / 2>([&](auto pair) {
      constexpr int k = 2 * pair;
      W::store_sums(folded[0][k], folded[1][k], folded[0][k + 1], folded[1][k + 1], scores + k * kv_page_size,
                    scores + (k + 1) * kv_page_size);
    });
}

// out = out · rescale + Σ_p weight[p] · value[p] in columns d … d + 31 for Q queries from i on, which see the
// same positions.
template <typename V, int Q, typename Values, typename Next>
void wide_values(const AttendQueries& a, std::int64_t i, const Values& values, std::int64_t d, Next next) {
  using W = typename V::Wide;
  const std::int64_t seen = a.seen[i];
  const float* const weights = a.scores + i * kv_page_size;
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
    next.step();
    each<Q>([&](auto k) {
      const auto weight = W::splat_float(weights[k * kv_page_size + p]);
      each<2>([&](auto c) { sums[k][c] = W::multiply_add(weight, value[c], sums[k][c]); });
    });
  }
  each<Q>([&](auto k) { each<2>([&](auto c) { W::store(out + k * a.head_dim + 16 * c, sums[k][c]); }); });
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

// Likewise, all of which see the same positions.
template <typename F>
void each_run_of_seen(const AttendQueries& a, F&& body) {
  for (std::int64_t i = 0; i < a.count;) {
    std::int64_t run = 1;
    while (i + run < a.count && a.seen[i + run] == a.seen[i]) ++run;
    each_query_run(i, run, body);
    i += run;
  }
}

template <typename V, KvType type>
void score_page_wide(const KvPage& page, const AttendQueries& a) {
  const WideStored<V, type> stored(page.keys, a.head_dim);
  const std::int64_t row = a.head_dim / 32 * Ask<type>::bytes;
  const auto score = [&](const auto& keys, std::int64_t from, std::int64_t to) {
    each_query_run(0, a.count, [&]<int Q>(std::integral_constant<int, Q>, std::int64_t i) {
      const std::int64_t end = a.seen[i + Q - 1] < to ? a.seen[i + Q - 1] : to;
      if (i == 0)
        for (std::int64_t p = from; p < end; p += 8) {
          prefetch_scales<type>(page.values, a.head_dim, p * a.head_dim, 8 * a.head_dim);
          wide_scores<V, Q>(a, i, keys, p, Ask<type>{page.values + p * row});
        }
      else
        for (std::int64_t p = from; p < end; p += 8) wide_scores<V, Q>(a, i, keys, p, AskNothing());
    });
  };
  if (a.count < many_queries) return score(stored, 0, kv_page_size);
  const std::int64_t seen = (a.seen[a.count - 1] + 7) / 8 * 8;
  for (std::int64_t p = 0; p < seen; p += attend_strip) {
    const std::int64_t count = seen - p < attend_strip ? seen - p : attend_strip;
    score(WidenedKeys<V>(stored, p, count, a.widened), p, p + count);
  }
}

template <typename V, KvType type>
void add_page_wide(const KvPage& page, const AttendQueries& a) {
  const WideStored<V, type> stored(page.values, a.head_dim);
  const std::byte* ask = page.next_keys;
  const auto add = [&](const auto& values, std::int64_t d) {
    each_run_of_seen(a, [&]<int Q>(std::integral_constant<int, Q>, std::int64_t i) {
      if (i == 0 && ask != nullptr) {
        prefetch_scales<type>(page.next_keys, a.head_dim, d * kv_page_size,
                              attend_wide_columns * kv_page_size);
        wide_values<V, Q>(a, i, values, d, Ask<type>{ask});
        ask += a.seen[0] * Ask<type>::bytes;
      } else {
        wide_values<V, Q>(a, i, values, d, AskNothing());
      }
    });
  };
  const std::int64_t seen = a.seen[a.count - 1];
  for (std::int64_t d = 0; d < a.head_dim; d += attend_wide_columns)
    if (a.count < many_queries)
      add(stored, d);
    else
      add(WidenedValues<V>(stored, d, seen, a.widened), d);
}

template <typename V, KvType type>
void attend_page_wide(const KvPage& page, const AttendQueries& a) {
  score_page_wide<V, type>(page, a);
  take_scores<V>(a);
  add_page_wide<V, type>(page, a);
}

}  // namespace
}  // namespace trine::cpu
