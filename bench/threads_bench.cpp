// What a phase of the thread pool costs, in microseconds: the hand-out and the barrier, without work.
//
//   threads_bench [--threads 1,2,…] [--phases N] [--repetitions N]
//
// How to read a line:
//   phase     empty: one range a thread, without a body. small: ranges of about 100 ns, so many a thread, as
//             in a matrix product of few rows. uneven: the same, but the first thread's take three times as
//             long. sleeping: empty, after a pause in which all threads have gone to sleep
//   form      for: parallel_for(), which hands ranges out one by one. ranges: parallel_ranges(), where
//             each thread has a stretch of its own. counter: a phase as the pool had it until 2026-11: one
//             counter that hands ranges out, one of threads that are done, a call of the kernel for each
//             phase and no end before the last thread has come
//   us        of a phase: the median of the repetitions, the fastest and the slowest, each the mean of so
//             many phases
//   beside work   that, less what the work takes when every thread does its part of it
//
// Two threads that share a core, or a machine that does something else meanwhile, show in the spread.
#include "base/system.h"
#include "base/thread_pool.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace trine {
namespace {

using Clock = std::chrono::steady_clock;

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// The former form of the pool, to compare with.
class CounterPool {
 public:
  explicit CounterPool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  }
  ~CounterPool() {
    stop_ = true;
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  CounterPool(const CounterPool&) = delete;
  CounterPool& operator=(const CounterPool&) = delete;

  void parallel_for(std::int64_t count, std::int64_t grain, ThreadPool::Body body) {
    count_ = count;
    grain_ = grain;
    body_ = &body;
    next_.store(0, std::memory_order_relaxed);
    running_.store(static_cast<std::uint32_t>(workers_.size()), std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
    drain(0);
    while (const std::uint32_t left = running_.load(std::memory_order_acquire)) wait(running_, left);
  }

 private:
  static void wait(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
    for (int i = 0; i < 1000; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause_cpu();
    }
    value.wait(old, std::memory_order_acquire);
  }
  void work(int thread) {
    std::uint32_t seen = 0;
    while (true) {
      wait(phase_, seen);
      ++seen;
      if (stop_) return;
      drain(thread);
      if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
    }
  }
  void drain(int thread) {
    while (true) {
      const std::int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
      if (begin >= count_) return;
      (*body_)(begin, std::min(begin + grain_, count_), thread);
    }
  }

  std::atomic<std::uint32_t> phase_{0};
  std::atomic<std::uint32_t> running_{0};
  std::atomic<bool> stop_{false};
  std::atomic<std::int64_t> next_{0};
  std::int64_t count_ = 0;
  std::int64_t grain_ = 1;
  const ThreadPool::Body* body_ = nullptr;
  std::vector<std::thread> workers_;
};

// Work of a known length that stays in registers: dependent multiplications.
void spend(int steps) {
  std::uint64_t x = 1;
  for (int i = 0; i < steps; ++i) {
    x *= 0x9e3779b97f4a7c15;
    asm volatile("" : "+r"(x));
  }
}

struct Options {
  std::vector<int> threads;
  int phases = 20000;
  int repetitions = 9;
};

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

void print_line(std::string_view phase, std::string_view form, int threads, std::vector<double> times,
                double work) {
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  fmt::print("{:<16} {:<8} {:>7}  {:>8.2f}  {:>8.2f} {:>8.2f}  {:>11.2f}\n", phase, form, threads, median,
             times.front(), times.back(), median - work);
}

constexpr int steps_of_100_ns = 120;

// What `steps` take here, in microseconds.
double time_of(int steps) {
  constexpr int rounds = 20000;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < rounds; ++i) spend(steps);
  return microseconds_since(start) / rounds;
}

struct PhaseKind {
  std::string name;
  std::int64_t ranges = 1;  // of each thread
  int steps = 0;
  int slow_steps = 0;  // of the ranges that are the first thread's when each has its own
  std::chrono::microseconds rest{0};
  double work = 0;  // in microseconds, of a thread
};

template <typename Run>
void measure(const PhaseKind& kind, std::string_view form, int threads, const Options& options, Run run) {
  const std::int64_t slow = kind.slow_steps > 0 ? kind.ranges : 0;
  const auto body = [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) spend(i < slow ? kind.slow_steps : kind.steps);
  };
  const bool rests = kind.rest.count() > 0;
  const int phases = rests ? std::max(options.phases / 200, 1) : options.phases;
  std::vector<double> times;
  for (int repetition = -1; repetition < options.repetitions; ++repetition) {
    double total = 0;
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < phases; ++i) {
      if (!rests) {
        run(kind.ranges * threads, body);
        continue;
      }
      std::this_thread::sleep_for(kind.rest);
      const Clock::time_point phase_start = Clock::now();
      run(kind.ranges * threads, body);
      total += microseconds_since(phase_start);
    }
    if (!rests) total = microseconds_since(start);
    if (repetition >= 0) times.push_back(total / phases);  // the first warms up
  }
  print_line(kind.name, form, threads, std::move(times), kind.work);
}

void measure_with(int threads, const Options& options) {
  const double small = time_of(steps_of_100_ns);
  std::vector<PhaseKind> kinds = {{.name = "empty"}};
  for (const int ranges : {8, 64})
    kinds.push_back({.name = fmt::format("small, {}", ranges),
                     .ranges = ranges,
                     .steps = steps_of_100_ns,
                     .work = ranges * small});
  kinds.push_back({.name = "uneven, 64",
                   .ranges = 64,
                   .steps = steps_of_100_ns,
                   .slow_steps = 3 * steps_of_100_ns,
                   .work = 64 * small * (threads + 2) / threads});
  kinds.push_back({.name = "sleeping", .rest = std::chrono::microseconds(500)});
  for (const PhaseKind& kind : kinds) {
    ThreadPool pool(threads);
    measure(kind, "for", threads, options,
            [&](std::int64_t count, const auto& body) { pool.parallel_for(count, 1, body); });
    measure(kind, "ranges", threads, options,
            [&](std::int64_t count, const auto& body) { pool.parallel_ranges(count, 1, body); });
    CounterPool former(threads);
    measure(kind, "counter", threads, options,
            [&](std::int64_t count, const auto& body) { former.parallel_for(count, 1, body); });
  }
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("What a phase of the thread pool costs.");
  app.add_option("--threads", options.threads, "default: 2 and one per core")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app.add_option("--phases", options.phases, "of a repetition")->check(CLI::Range(1, 10'000'000));
  app.add_option("--repetitions", options.repetitions)->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  if (options.threads.empty()) {
    options.threads = {2};
    if (available_cores() > 2) options.threads.push_back(available_cores());
  }
  fmt::print("{}, {} cores available\n\n", processor_name(), available_cores());
  fmt::print("{:<16} {:<8} {:>7}  {:>8}  {:>8} {:>8}  {:>11}\n", "phase", "form", "threads", "us", "fastest",
             "slowest", "beside work");
  for (const int threads : options.threads) measure_with(threads, options);
  return 0;
}

}  // namespace
}  // namespace trine

int main(int argc, char** argv) {
  return trine::run(argc, argv);
}
