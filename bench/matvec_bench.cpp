#include "base/thread_pool.h"
#include "cpu/kernels/kernels.h"
#include "quant/codec.h"
#include "quant/float.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstring>
#include <random>
#include <string>
#include <tuple>
#include <vector>

// Matrix products at the shapes of a 30B Qwen3-MoE, one benchmark for each instruction set, block type and
// shape:
//   read     plain reading of the same bytes, which no decode can beat
//   decode   one token, weights from memory (256 MiB, far more than any cache): bytes of weights per second
//   prefill  32 or 128 tokens against the rows of one expert: FLOP per second
// A name ends in the number of threads.

namespace trine::cpu {
namespace {

using gguf::TensorType;

constexpr std::int64_t weight_bytes = 256 << 20;
constexpr std::int64_t rows_per_task = 64;

// Random bytes decode to anything; what matters for speed is that no scale is NaN, infinite or subnormal.
std::vector<std::byte> random_weights(std::int64_t bytes) {
  std::vector<std::byte> weights(bytes);
  std::mt19937_64 random(1);
  for (std::int64_t i = 0; i + 8 <= bytes; i += 8) {
    const std::uint64_t bits = random() & 0xBFBFBFBFBFBFBFBFu;
    std::memcpy(&weights[i], &bits, sizeof bits);
  }
  return weights;
}

struct Tokens {
  std::vector<float> f32;
  std::vector<Q8Group> q8;
  Activations view;

  Tokens(const Kernels& kernels, std::int64_t n, std::int64_t columns)
      : f32(n * columns), q8(n * q8_groups(columns)), view{n, columns, f32.data(), q8.data(), nullptr} {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (float& value : f32) value = normal(random);
    for (std::int64_t t = 0; t < n; ++t)
      kernels.quantize(&f32[t * columns], 0, columns, &q8[t * q8_groups(columns)]);
  }
};

void read(benchmark::State& state, int threads) {
  const std::vector<std::byte> weights = random_weights(weight_bytes);
  ThreadPool pool(threads);
  for (auto _ : state)
    pool.parallel_for(weight_bytes >> 20, 1, [&](std::int64_t begin, std::int64_t end, int) {
      std::uint64_t sums[8] = {};
      for (std::int64_t at = begin << 20; at < end << 20; at += sizeof sums)
        for (int k = 0; k < 8; ++k) {
          std::uint64_t value;
          std::memcpy(&value, &weights[at + 8 * k], sizeof value);
          sums[k] += value;
        }
      benchmark::DoNotOptimize(sums);
    });
  state.SetBytesProcessed(state.iterations() * weight_bytes);
}

void decode(benchmark::State& state, const Kernels& kernels, MatMul matmul, const quant::Codec& codec,
            std::int64_t columns, int threads) {
  const auto row_bytes = static_cast<std::int64_t>(codec.row_bytes(columns));
  const std::int64_t rows = weight_bytes / row_bytes;
  const std::vector<std::byte> weights = random_weights(rows * row_bytes);
  const Tokens tokens(kernels, 1, columns);
  std::vector<float> out(rows);
  ThreadPool pool(threads);
  for (auto _ : state)
    pool.parallel_for(rows, rows_per_task, [&](std::int64_t begin, std::int64_t end, int) {
      matmul({&weights[begin * row_bytes], row_bytes, end - begin, weights.data()}, tokens.view, &out[begin],
             rows);
    });
  state.SetBytesProcessed(state.iterations() * rows * row_bytes);
}

void prefill(benchmark::State& state, const Kernels& kernels, MatMul matmul, const quant::Codec& codec,
             std::int64_t columns, std::int64_t n, int threads) {
  const auto row_bytes = static_cast<std::int64_t>(codec.row_bytes(columns));
  const std::int64_t rows = columns == 768 ? 2048 : 768;
  const std::vector<std::byte> weights = random_weights(rows * row_bytes);
  const Tokens tokens(kernels, n, columns);
  std::vector<float> out(n * rows);
  ThreadPool pool(threads);
  for (auto _ : state)
    pool.parallel_for(rows, rows_per_task, [&](std::int64_t begin, std::int64_t end, int) {
      matmul({&weights[begin * row_bytes], row_bytes, end - begin, weights.data()}, tokens.view, &out[begin],
             rows);
    });
  state.counters["FLOP/s"] = benchmark::Counter(static_cast<double>(2 * rows * columns * n),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

// `args` end in the number of threads. One thread is timed by its own clock, which other processes disturb
// less.
template <typename... Args>
void add(const std::string& name, Args... args) {
  const int threads = std::get<sizeof...(args) - 1>(std::tuple(args...));
  auto* added = benchmark::RegisterBenchmark((name + fmt::format("/threads:{}", threads)).c_str(), args...);
  if (threads > 1) added->UseRealTime();
}

const bool registered = [] {
  for (const int threads : {1, 2}) add("read", read, threads);
  for (const char* isa : isa_names()) {
    const Kernels* kernels = find_kernels(isa);
    if (kernels == nullptr) continue;
    for (const quant::Codec& codec : quant::all_codecs()) {
      const auto name = gguf::info(codec.type).name;
      const MatMul fast = kernels->fast(codec.type);
      const MatMul exact = kernels->exact(codec.type);
      for (const std::int64_t columns : {2048, 768})
        for (const int threads : {1, 2}) {
          add(fmt::format("decode/{}/{}/{}", isa, name, columns), decode, *kernels, fast, codec, columns,
              threads);
          if (fast != exact)
            add(fmt::format("decode_exact/{}/{}/{}", isa, name, columns), decode, *kernels, exact, codec,
                columns, threads);
          for (const std::int64_t n : {8, 32, 128})
            add(fmt::format("prefill/{}/{}/{}/tokens:{}", isa, name, columns, n), prefill, *kernels, fast,
                codec, columns, n, threads);
          if (fast != exact)
            add(fmt::format("prefill_exact/{}/{}/{}/tokens:32", isa, name, columns), prefill, *kernels, exact,
                codec, columns, 32, threads);
        }
    }
  }
  return true;
}();

}  // namespace
}  // namespace trine::cpu
