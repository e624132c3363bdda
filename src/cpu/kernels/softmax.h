#pragma once

#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/kernels.h"

// The running softmax of attention, between the scores of a page and its values: attend.h states the order
// of sums.

namespace trine::cpu {
namespace {  // see the top of unpack.h

// sum + a vector of exponentials: lane p mod 8 adds positions p in ascending order.
template <typename V>
typename V::Floats add_eights(typename V::Floats sum, typename V::Floats weights) {
  return V::add(sum, weights);
}
template <HasWide V>
typename V::Floats add_eights(typename V::Floats sum, typename V::Wide::Floats weights) {
  return V::add(V::add(sum, V::Wide::low(weights)), V::Wide::high(weights));
}

// Scores of every query become exp(score − largest), and what was summed before is to be multiplied by
// rescale. A NaN shows in the sum; `largest` is never one.
template <typename V>
void take_scores(const AttendQueries& a) {
  using W = typename WidestOf<V>::Type;
  constexpr std::int64_t lanes = lanes_of<W>;
  constexpr float nothing = -__builtin_inff();
  const auto whole_seen = [&](std::int64_t i) { return (a.seen[i] + lanes - 1) / lanes * lanes; };
  for (std::int64_t first = 0; first < a.count; first += lanes) {
    const std::int64_t queries = a.count - first < lanes ? a.count - first : lanes;
    // What is subtracted from a query's scores, now and before. Where nothing but −infinity was seen, all
    // weights are 0, not exp(−infinity + infinity).
    float base[lanes] = {}, before[lanes] = {}, change[lanes];
    for (std::int64_t k = 0; k < queries; ++k) {
      const std::int64_t i = first + k, end = whole_seen(i);
      float* const scores = a.scores + i * kv_page_size;
      for (std::int64_t p = a.seen[i]; p < end; ++p) scores[p] = nothing;
      auto largest = W::splat_float(before[k] = a.largest[i]);
      for (std::int64_t p = 0; p < end; p += lanes) largest = W::larger(W::load_floats(scores + p), largest);
      a.largest[i] = W::largest(largest);
      base[k] = a.largest[i] == nothing ? 0.0f : a.largest[i];
    }
    W::store(change, exponential<W>(W::subtract(W::load_floats(before), W::load_floats(base))));
    for (std::int64_t k = 0; k < queries; ++k) {
      const std::int64_t i = first + k, end = whole_seen(i);
      float* const scores = a.scores + i * kv_page_size;
      auto sum = V::splat_float(0.0f);
      for (std::int64_t p = 0; p < end; p += lanes) {
        const auto weight = exponential<W>(W::subtract(W::load_floats(scores + p), W::splat_float(base[k])));
        W::store(scores + p, weight);
        sum = add_eights<V>(sum, weight);
      }
      a.rescale[i] = change[k];
      a.sum[i] = a.sum[i] * change[k] + V::sum(sum);
    }
  }
}

}  // namespace
}  // namespace trine::cpu
