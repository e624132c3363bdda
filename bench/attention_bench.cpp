#include "cpu/attend.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

// Attention of one layer of a 30B Qwen3-MoE (32 heads, 4 KV heads, head_dim 128), one benchmark for each
// instruction set and type of KV cache:
//   decode   one row behind so many positions: bytes of keys and values per second. Layers take turns, as
//   many as make
//            256 MiB, so that none is in a cache
//   prefill  512 rows behind so many positions: FLOP per second of the products with keys and values that the
//            mask leaves
// A name ends in the number of threads.

namespace trine::cpu {
namespace {

using model::KvType;

constexpr std::uint64_t decode_bytes = 256 << 20;

model::Config heads_of_30b() {
  model::Config config;
  config.n_layers = 1;
  config.n_heads = 32;
  config.n_kv_heads = 4;
  config.head_dim = 128;
  return config;
}

// A sequence of `length` positions whose last `rows` are a step.
struct Scene {
  model::Config config = heads_of_30b();
  std::vector<model::Slot> slots{1};
  std::vector<model::Row> rows;
  KvCache cache;
  std::vector<float> q, out;
  ThreadPool pool;
  Attend attend;

  Scene(const Kernels& kernels, KvType type, std::int32_t length, std::int32_t n_rows, int layers,
        int threads)
      : q(static_cast<std::size_t>(n_rows * config.q_size())),
        out(q.size()),
        pool(threads),
        attend(config, n_rows, length, threads) {
    config.n_layers = layers;
    auto made = KvCache::create(config, length, type);
    if (!made) std::abort();
    cache = std::move(*made);
    cache.prefer_huge_pages();
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& value : q) value = normal(random);
    std::vector<float> kv(static_cast<std::size_t>(config.kv_size()));
    for (float& value : kv) value = normal(random);
    for (std::int32_t page = 0; page < cache.pages(); ++page) slots[0].pages.push_back(page);
    for (int layer = 0; layer < layers; ++layer)
      for (std::int32_t position = 0; position < length; ++position) {
        kv[static_cast<std::size_t>(position) % kv.size()] = normal(random);
        cache.write(kernels, layer, position, kv.data(), kv.data());
      }
    for (std::int32_t n = 0; n < n_rows; ++n) rows.push_back({.position = length - n_rows + n});
    attend.plan({.rows = rows, .slots = slots});
  }

  void run(const Kernels& kernels, int layer) {
    attend.run(kernels, cache, pool, {.rows = rows, .slots = slots}, layer, {q.data(), config.q_size()},
               {out.data(), config.q_size()});
  }
};

void decode(benchmark::State& state, const Kernels& kernels, KvType type, std::int32_t length, int threads) {
  const std::uint64_t bytes = device::kv_bytes(heads_of_30b(), length, type);
  const int layers = static_cast<int>(std::max<std::uint64_t>(1, decode_bytes / bytes));
  Scene scene(kernels, type, length, 1, layers, threads);
  int layer = 0;
  for (auto _ : state) scene.run(kernels, layer = (layer + 1) % layers);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}

void prefill(benchmark::State& state, const Kernels& kernels, KvType type, std::int32_t depth, int threads) {
  constexpr std::int32_t n_rows = 512;
  Scene scene(kernels, type, depth + n_rows, n_rows, 1, threads);
  for (auto _ : state) scene.run(kernels, 0);
  const double pairs = n_rows * (static_cast<double>(depth) + (n_rows + 1) / 2.0);
  state.counters["FLOP/s"] = benchmark::Counter(4.0 * pairs * static_cast<double>(scene.config.q_size()),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

const bool registered = [] {
  for (const char* isa : {"portable", "avx2", "avx512vnni"}) {
    const Kernels* kernels = find_kernels(isa);
    if (kernels == nullptr) continue;
    for (const KvType type : model::all_kv_types)
      for (const int threads : {1, 2, 16}) {
        const std::string with = fmt::format("{}/{}", isa, name_of(type));
        // One thread is timed by its own clock, which other processes disturb less.
        const auto timed = [&](benchmark::internal::Benchmark* one) {
          if (threads > 1) one->UseRealTime();
        };
        for (const std::int32_t length : {512, 8192, 32768})
          timed(benchmark::RegisterBenchmark(
              fmt::format("decode/{}/positions:{}/threads:{}", with, length, threads).c_str(),
              [=](benchmark::State& state) { decode(state, *kernels, type, length, threads); }));
        for (const std::int32_t depth : {0, 4096})
          timed(benchmark::RegisterBenchmark(
              fmt::format("prefill/{}/depth:{}/threads:{}", with, depth, threads).c_str(),
              [=](benchmark::State& state) { prefill(state, *kernels, type, depth, threads); }));
      }
  }
  return true;
}();

}  // namespace
}  // namespace trine::cpu
