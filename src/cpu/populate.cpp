#include "cpu/populate.h"

#include "base/check.h"
#include "base/populate.h"
#include "base/system.h"
#include "device/tensors.h"

#include <algorithm>
#include <numeric>

namespace trine::cpu {
namespace {

// A fault maps 16 pages and takes about a microsecond: below this size all of them together do not show.
constexpr std::uint64_t least_bytes = std::uint64_t{64} << 20;

// Between two looks at what is available.
constexpr std::uint64_t at_once = std::uint64_t{256} << 20;

using Bytes = std::span<const std::byte>;

// The bytes of all matrices; norms are next to nothing.
class Collector {
 public:
  Result<void> norm(const model::Weight& /*weight*/, const model::Weight& /*same*/) { return {}; }
  Result<void> head_norms(const model::Weight& /*q*/, const model::Weight& /*k*/,
                          const model::LayerWeights& /*same*/) {
    return {};
  }
  Result<void> matrix(const model::Weight& weight, const model::Weight& /*same*/) {
    ranges.emplace_back(weight.data, (static_cast<std::uint64_t>(weight.experts) - 1) * weight.expert_stride +
                                         weight.expert_bytes());
    return {};
  }
  Result<void> experts(const model::Weight& weight, const model::Weight& /*beside*/,
                       const model::Weight& same) {
    return matrix(weight, same);
  }

  std::vector<Bytes> ranges;
};

}  // namespace

void populate_weights(const model::Weights& weights, std::uint64_t besides, const std::vector<int>& nodes,
                      ThreadPool& pool) {
  Collector collector;
  const Result<void> done = device::for_each_tensor(weights, weights, collector);
  check(done.has_value(), "collecting ranges cannot fail");
  std::vector<Bytes>& ranges = collector.ranges;
  std::sort(ranges.begin(), ranges.end(), [](Bytes a, Bytes b) { return a.data() < b.data(); });
  const std::uint64_t bytes = std::accumulate(ranges.begin(), ranges.end(), std::uint64_t{0},
                                              [](std::uint64_t sum, Bytes b) { return sum + b.size(); });
  if (bytes < least_bytes) return;
  // Asked again and again: where another program takes the memory meanwhile, what is read would push out what
  // was.
  std::size_t next = 0;
  while (next < ranges.size() && bytes + besides <= available_memory().value_or(0)) {
    std::vector<Bytes> some;
    for (std::uint64_t taken = 0; next < ranges.size() && taken < at_once; ++next) {
      some.push_back(ranges[next]);
      taken += ranges[next].size();
    }
    if (!populate_pages(some, nodes, pool)) return;
  }
}

}  // namespace trine::cpu
