// The roofline of each CPU kernel: how fast a matrix product takes its weights from each level of the
// processor's memory, beside a plain read of the same bytes; and how fast it multiplies, beside the
// instructions alone.
//
//   roofline_bench [--isa avx2,…] [--types Q4_K,…] [--levels L1,L2,L3,memory] [--tokens 1,2,4,…]
//                  [--threads 1,2,…] [--exact] [--columns N] [--repetitions N] [--milliseconds N]
//                  [--map-in FOLDER] [--json]
//
// Without options: each instruction set that this processor has, each block type, 1, 2 and 4 tokens from each
// level and 8, 32 and 128 tokens, with one thread and with all. That takes minutes; name what you look for.
//
// How to read a line of the first table:
//   weights     where they lie, and how many bytes all threads have there: half of what the level holds (the
//               first two levels are each thread's own, the last one is shared), in groups of 16 rows, which
//               kernels take together; a level without room for 16 is left out. "memory" is 16 times the last
//               level, at least 256 MiB, read on from where the last repetition ended, so that nothing of it
//               is in a cache
//   GB/s        bytes of weights over time: the median of the repetitions, the slowest and the fastest
//   read GB/s   a plain read of the same bytes by the same threads, which no kernel can beat: its median. It
//               runs before and after each repetition
//   of read     the median over the repetitions of the kernel's rate over that of the two reads around it
// In L1 the rows are few, so that what a product costs beside its weights shows; from memory with all threads
// a share near 100 % says that nothing is left to gain.
//
// And of the second: products of 8 and more tokens with the 768 rows of one expert, as prefill has them;
// GFLOP/s over those that the multiply instruction reaches on registers alone (cpu/arithmetic.h). That limit
// counts no decoding of weights and no widening of sums, so it is not to be reached; "portable" has none.
//
// Times are those that threads run, not those that pass. A machine that does something else meanwhile shows
// in the spread all the same, and two threads that take turns on one core disturb each other too little.
// Threads are not bound to cores: of two runs that differ, look at the read beside them.
#include "base/system.h"
#include "base/thread_pool.h"
#include "cpu/arithmetic.h"
#include "cpu/device.h"
#include "cpu/kernels/kernels.h"
#include "quant/codec.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <barrier>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(TRINE_X86_KERNELS)
#include <immintrin.h>
#endif

namespace trine::cpu {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t expert_rows = 768;
constexpr std::int64_t most_rows_at_once = 512;  // of a call: far more than a hand-out costs

struct Options {
  std::vector<std::string> isas, types, levels;
  std::vector<std::int64_t> tokens = {1, 2, 4, 8, 32, 128};
  std::vector<int> threads;
  std::int64_t columns = 2048;
  int repetitions = 7;
  int milliseconds = 10;  // of a repetition
  std::string map_in;
  bool exact = false;
  bool json = false;
};

// ---- Weights ----

// Random bytes decode to anything; what matters for speed is that no scale is NaN, infinite or subnormal.
void fill(std::byte* weights, std::int64_t bytes) {
  std::mt19937_64 random(1);
  for (std::int64_t i = 0; i + 8 <= bytes; i += 8) {
    const std::uint64_t bits = random() & 0xBFBFBFBFBFBFBFBFu;
    std::memcpy(weights + i, &bits, sizeof bits);
  }
}

// Anonymous memory, or a file without a name in a folder, which is mapped as a model's is.
class Weights {
 public:
  Weights(std::int64_t bytes, const std::string& folder) : bytes_(bytes) {
    const int flags = folder.empty() ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    int file = -1;
    if (!folder.empty()) {
      file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
      if (file < 0 || ::ftruncate(file, bytes) != 0)
        throw std::runtime_error("cannot make a file in " + folder + ": " + std::strerror(errno));
    }
    void* const at = ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, flags, file, 0);
    if (at == MAP_FAILED)
      throw std::runtime_error(std::string("cannot map weights: ") + std::strerror(errno));
    if (file >= 0) ::close(file);
    data_ = static_cast<std::byte*>(at);
    fill(data_, bytes);
  }
  ~Weights() { ::munmap(data_, static_cast<std::size_t>(bytes_)); }
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  const std::byte* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_;
};

struct Level {
  std::string name;
  std::int64_t bytes = 0;  // of weights to have there
  bool each_thread = false;
};

std::vector<Level> find_levels() {
  std::vector<Level> levels;
  for (int level = 1; cache_size(level) > 0; ++level)
    levels.push_back(
        {fmt::format("L{}", level), static_cast<std::int64_t>(cache_size(level) / 2), level < 3});
  const auto last = static_cast<std::int64_t>(last_level_cache());
  levels.push_back({"memory", std::max(16 * last, std::int64_t{256} << 20), false});
  return levels;
}

// Rows that kernels take together, at most: fewer would be a case of their own.
constexpr std::int64_t row_group = 16;

// Whole groups, for about half of a level. 0: all of it has no room for one.
std::int64_t whole_groups(std::int64_t rows) {
  if (2 * rows < row_group) return 0;
  return std::max((rows + row_group / 4) / row_group * row_group, row_group);
}

// ---- Threads ----

// What one thread has of the weights; it goes round them.
struct Share {
  const std::byte* first = nullptr;
  std::int64_t rows = 0;
  std::int64_t next = 0;  // row
  std::vector<float> out;
};

// What this thread has computed so far, which other processes disturb less than the time of day.
double own_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// Seconds that the slowest of the threads, which start together, takes to go over `rows` rows of its share:
// body(share, first row, rows). Before that over `warm_rows`, which are not counted, where the share lies in
// a cache.
template <typename Body>
double seconds_of(std::vector<Share>& shares, std::int64_t rows, std::int64_t warm_rows, const Body& body) {
  const auto go = [&](Share& share, std::int64_t count) {
    while (count > 0) {
      const std::int64_t n = std::min({count, share.rows - share.next, most_rows_at_once});
      body(share, share.next, n);
      count -= n;
      share.next = share.next + n == share.rows ? 0 : share.next + n;
    }
  };
  std::barrier start(static_cast<std::ptrdiff_t>(shares.size()));
  std::vector<double> seconds(shares.size());
  const auto work = [&](std::size_t i) {
    go(shares[i], warm_rows);
    start.arrive_and_wait();
    const double began = own_seconds();
    go(shares[i], rows);
    seconds[i] = own_seconds() - began;
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < shares.size(); ++i) others.emplace_back(work, i);
  work(0);
  for (std::thread& one : others) one.join();
  return *std::max_element(seconds.begin(), seconds.end());
}

// ---- What is timed ----

// The empty asm statements want the sums, so that no read can be dropped.
void read_words(const std::byte* from, std::int64_t bytes) {
  std::uint64_t sums[8] = {};
  for (std::int64_t at = 0; at + 64 <= bytes; at += 64)
    for (int k = 0; k < 8; ++k) {
      std::uint64_t value;
      std::memcpy(&value, from + at + 8 * k, sizeof value);
      sums[k] += value;
    }
  for (const std::uint64_t sum : sums) asm volatile("" ::"r"(sum));
}

#if defined(TRINE_X86_KERNELS)
__attribute__((target("avx2"))) void read_avx2(const std::byte* from, std::int64_t bytes) {
  __m256i sums[8] = {};
  for (std::int64_t at = 0; at + 256 <= bytes; at += 256)
    for (int k = 0; k < 8; ++k)
      sums[k] =
          _mm256_add_epi64(sums[k], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + at + 32 * k)));
  for (const __m256i& sum : sums) asm volatile("" ::"x"(sum));
}
#endif

// With the widest loads that always pay.
void read(const std::byte* from, std::int64_t bytes) {
#if defined(TRINE_X86_KERNELS)
  if (__builtin_cpu_supports("avx2")) return read_avx2(from, bytes);
#endif
  read_words(from, bytes);
}

struct Tokens {
  std::vector<float> f32;
  std::vector<Q8Group> q8;
  Activations view;

  Tokens(const Kernels& kernels, std::int64_t n, std::int64_t columns)
      : f32(static_cast<std::size_t>(n * columns)),
        q8(static_cast<std::size_t>(n * q8_groups(columns))),
        view{n, columns, f32.data(), q8.data(), nullptr} {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (float& value : f32) value = normal(random);
    for (std::int64_t t = 0; t < n; ++t)
      kernels.quantize(f32.data() + t * columns, 0, columns, q8.data() + t * q8_groups(columns));
  }
};

// A kernel on weights in one place, with so many threads.
struct Case {
  const Kernels& kernels;
  const quant::Codec& codec;
  std::int64_t tokens = 1;
  int threads = 1;
  std::int64_t columns = 0;
  bool exact = false;

  std::int64_t row_bytes() const {
    return static_cast<std::int64_t>(codec.row_bytes(static_cast<std::uint64_t>(columns)));
  }
  MatMul multiply() const { return exact ? kernels.exact(codec.type) : kernels.fast(codec.type); }
  bool in_8_bits() const { return !exact && reads_q8(codec.type); }
};

struct Spread {
  double median = 0, min = 0, max = 0;

  explicit Spread(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    median = values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
    min = values.front();
    max = values.back();
  }
};

// Bytes of weights per second.
struct Measured {
  std::int64_t bytes;  // of all threads' weights
  Spread kernel, read, share;
};

std::vector<Share> share_out(const Case& one, const Weights& weights, std::int64_t rows_each) {
  std::vector<Share> shares;
  for (int i = 0; i < one.threads; ++i) {
    Share share{weights.data() + i * rows_each * one.row_bytes(), rows_each, 0, {}};
    share.out.resize(static_cast<std::size_t>(one.tokens * std::min(rows_each, most_rows_at_once)));
    shares.push_back(std::move(share));
  }
  return shares;
}

// `cold`: what one repetition has read shall not be read again by the next.
Measured measure(const Case& one, const Weights& weights, std::int64_t rows_each, bool cold,
                 const Options& options) {
  const std::int64_t row_bytes = one.row_bytes();
  const MatMul multiply = one.multiply();
  const Tokens tokens(one.kernels, one.tokens, one.columns);
  const auto kernel = [&](Share& share, std::int64_t first, std::int64_t n) {
    const std::byte* const from = share.first + first * row_bytes;
    multiply({from, row_bytes, n, from + n * row_bytes}, tokens.view, share.out.data(), n);
  };
  const auto plain = [&](Share& share, std::int64_t first, std::int64_t n) {
    read(share.first + first * row_bytes, n * row_bytes);
  };
  std::vector<Share> shares = share_out(one, weights, rows_each);
  const std::int64_t warm = cold ? 0 : rows_each;
  // As many rows as fill the time that a repetition takes, and whole rounds where they go round in a cache.
  const auto rows_for = [&](const auto& body) {
    std::int64_t rows = std::min<std::int64_t>(rows_each, 64);
    double seconds = seconds_of(shares, rows, warm, body);
    while (seconds < 1e-3) seconds = seconds_of(shares, rows *= 4, warm, body);
    rows = static_cast<std::int64_t>(static_cast<double>(rows) * options.milliseconds / 1e3 / seconds) + 1;
    return rows_each > rows ? rows : rows / rows_each * rows_each;
  };
  const std::int64_t kernel_rows = rows_for(kernel), read_rows = rows_for(plain);
  const auto rate = [&](std::int64_t rows, const auto& body) {
    const double bytes = static_cast<double>(rows * row_bytes * one.threads);
    return bytes / seconds_of(shares, rows, warm, body);
  };
  std::vector<double> kernels, reads = {rate(read_rows, plain)}, of_read;
  for (int i = 0; i < options.repetitions; ++i) {
    kernels.push_back(rate(kernel_rows, kernel));
    reads.push_back(rate(read_rows, plain));
    of_read.push_back(kernels.back() / ((reads[reads.size() - 2] + reads.back()) / 2));
  }
  return {rows_each * row_bytes * one.threads, Spread(kernels), Spread(reads), Spread(of_read)};
}

// ---- Tables ----

bool wants(const std::vector<std::string>& names, std::string_view name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

ordered_json json_of(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

ordered_json json_of(const Case& one) {
  return {{"isa", one.kernels.isa},
          {"type", gguf::info(one.codec.type).name},
          {"numerics", one.in_8_bits() ? "8-bit" : "f32"},
          {"columns", one.columns},
          {"tokens", one.tokens},
          {"threads", one.threads}};
}

std::string name_of(const Case& one) {
  return fmt::format("{:<11}{:<9}{:>7}{:>8}", one.kernels.isa, gguf::info(one.codec.type).name, one.tokens,
                     one.threads);
}

class Roofline {
 public:
  explicit Roofline(const Options& options)
      : options_(options), levels_(find_levels()), weights_(levels_.back().bytes, options.map_in) {}

  void run() {
    if (!options_.json) {
      fmt::print("{}; {} of {} ms\n", processor_name(), options_.repetitions, options_.milliseconds);
      for (const Level& level : levels_)
        fmt::print("{}: {} KiB of weights{}\n", level.name, level.bytes >> 10,
                   level.each_thread ? " for each thread" : "");
    }
    for_each_case([&](const Case& one) {
      if (one.tokens < 8) memory(one);
    });
    headed_ = false;
    for_each_case([&](const Case& one) {
      if (one.tokens >= 8) arithmetic(one);
    });
    if (options_.json) fmt::print("{}\n", lines_.dump(2));
  }

 private:
  template <typename Visit>
  void for_each_case(const Visit& visit) {
    for (const IsaSupport& isa : list_isas()) {
      if (!isa.available || !wants(options_.isas, isa.name)) continue;
      const Kernels& kernels = *find_kernels(isa.name);
      for (const quant::Codec& codec : quant::all_codecs()) {
        if (!wants(options_.types, gguf::info(codec.type).name)) continue;
        for (const std::int64_t tokens : options_.tokens)
          for (const int threads : options_.threads)
            visit(Case{kernels, codec, tokens, threads, options_.columns, options_.exact});
      }
    }
  }

  void head(const std::string& text) {
    if (!headed_ && !options_.json) fmt::print("\n{}\n", text);
    headed_ = true;
  }

  void memory(const Case& one) {
    head(fmt::format("{:<11}{:<9}{:>7}{:>8}  {:<7}{:>11}{:>9}{:>15}{:>11}{:>9}", "isa", "type", "tokens",
                     "threads", "level", "weights", "GB/s", "min to max", "read GB/s", "of read"));
    for (const Level& level : levels_) {
      if (!wants(options_.levels, level.name)) continue;
      const std::int64_t bytes_each = level.each_thread ? level.bytes : level.bytes / one.threads;
      std::int64_t rows_each = whole_groups(bytes_each / one.row_bytes());
      rows_each = std::min(rows_each, weights_.bytes() / one.threads / one.row_bytes());
      if (rows_each == 0) continue;
      const Measured is = measure(one, weights_, rows_each, level.name == "memory", options_);
      ordered_json line = json_of(one);
      line.update(ordered_json{{"level", level.name},
                               {"weight_bytes", is.bytes},
                               {"bytes_per_second", json_of(is.kernel)},
                               {"read_bytes_per_second", json_of(is.read)},
                               {"share_of_read", json_of(is.share)}});
      lines_.push_back(std::move(line));
      if (options_.json) continue;
      fmt::print("{}  {:<7}{:>7} KiB{:>9.1f}{:>15}{:>11.1f}{:>7.0f} %\n", name_of(one), level.name,
                 is.bytes >> 10, is.kernel.median / 1e9,
                 fmt::format("{:.1f} to {:.1f}", is.kernel.min / 1e9, is.kernel.max / 1e9),
                 is.read.median / 1e9, 100 * is.share.median);
      std::fflush(stdout);
    }
  }

  void arithmetic(const Case& one) {
    head(fmt::format("{:<11}{:<9}{:>7}{:>8}{:>10}{:>17}{:>10}{:>10}  {}", "isa", "type", "tokens", "threads",
                     "GFLOP/s", "min to max", "limit", "of limit", "limit of"));
    const Measured is = measure(one, weights_, expert_rows / one.threads, false, options_);
    ThreadPool pool(one.threads);
    const std::optional<model::ArithmeticRate> limit = measure_arithmetic(one.kernels.isa, pool);
    const double flops_per_byte =
        2.0 * static_cast<double>(one.tokens * one.columns) / static_cast<double>(one.row_bytes());
    const double flops = flops_per_byte * is.kernel.median;
    const double most = !limit ? 0 : one.in_8_bits() ? limit->flops_8bit : limit->flops_f32;
    ordered_json line = json_of(one);
    line.update(ordered_json{{"flops_per_second", flops},
                             {"min", flops_per_byte * is.kernel.min},
                             {"max", flops_per_byte * is.kernel.max},
                             {"limit", limit ? ordered_json(most) : ordered_json()},
                             {"limit_of", limit ? ordered_json(limit->instructions) : ordered_json()}});
    lines_.push_back(std::move(line));
    if (options_.json) return;
    fmt::print("{}{:>10.1f}{:>17}{:>10}{:>10}  {}\n", name_of(one), flops / 1e9,
               fmt::format("{:.1f} to {:.1f}", flops_per_byte * is.kernel.min / 1e9,
                           flops_per_byte * is.kernel.max / 1e9),
               limit ? fmt::format("{:.0f}", most / 1e9) : "none",
               limit ? fmt::format("{:.0f} %", 100 * flops / most) : "", limit ? limit->instructions : "");
    std::fflush(stdout);
  }

  const Options& options_;
  std::vector<Level> levels_;
  Weights weights_;
  ordered_json lines_ = ordered_json::array();
  bool headed_ = false;
};

// ---- Options ----

template <typename Named, typename Name>
std::vector<std::string> names_of(const Named& named, const Name& name) {
  std::vector<std::string> names;
  for (const auto& one : named) names.emplace_back(name(one));
  return names;
}

int run(int argc, char** argv) {
  Options options;
  std::vector<std::string> isas;
  for (const IsaSupport& isa : list_isas())
    if (isa.available) isas.push_back(isa.name);
  const std::vector<std::string> types =
      names_of(quant::all_codecs(), [](const auto& codec) { return gguf::info(codec.type).name; });
  const std::vector<std::string> levels =
      names_of(find_levels(), [](const auto& level) { return level.name; });
  CLI::App app("The CPU kernels beside what memory and arithmetic allow");
  app.add_option("--isa", options.isas)->delimiter(',')->check(CLI::IsMember(isas));
  app.add_option("--types", options.types)->delimiter(',')->check(CLI::IsMember(types));
  app.add_option("--levels", options.levels)->delimiter(',')->check(CLI::IsMember(levels));
  app.add_option("--tokens", options.tokens)->delimiter(',')->check(CLI::Range(1, 512));
  app.add_option("--threads", options.threads)->delimiter(',')->check(CLI::Range(1, 256));
  // Rows that any block type can have.
  app.add_option("--columns", options.columns)
      ->check(CLI::Range(256, 16384))
      ->check([](const std::string& n) {
        return std::stol(n) % 256 == 0 ? std::string() : std::string("columns come in blocks of 256");
      });
  app.add_option("--repetitions", options.repetitions)->check(CLI::Range(1, 1000));
  app.add_option("--milliseconds", options.milliseconds)->check(CLI::Range(1, 10000));
  app.add_option("--map-in", options.map_in, "folder of a file that holds the weights")
      ->check(CLI::ExistingDirectory);
  app.add_flag("--exact", options.exact, "fp32 activations");
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  if (options.threads.empty()) options.threads = {1};
  if (const int all = available_cores(); app.count("--threads") == 0 && all > 1)
    options.threads.push_back(all);
  Roofline(options).run();
  return 0;
}

}  // namespace
}  // namespace trine::cpu

int main(int argc, char** argv) {
  try {
    return trine::cpu::run(argc, argv);
  } catch (const std::exception& problem) {  // of the system: memory, threads, a file
    fmt::print(stderr, "{}\n", problem.what());
    return 1;
  }
}
