#include "base/thread_pool.h"

#include "base/check.h"
#include "base/system.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace trine {
namespace {

// Some 20 µs of spinning: longer than the gap between two phases of a decode step, short beside a sleeping
// thread.
constexpr int spin_rounds = 1000;

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `value` differs from `old`: spins first, then sleeps in the kernel.
void wait_for_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < spin_rounds; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause_cpu();
  }
  value.wait(old, std::memory_order_acquire);
}

using Clock = std::chrono::steady_clock;

}  // namespace

struct ThreadPool::State {
  // A thread's count, on a cache line of its own.
  struct alignas(64) Counted {
    Clock::duration time{0};
  };

  // Adds the time it lives to a count, where there is one.
  class Counting {
   public:
    explicit Counting(Counted* to) : to_(to) {
      if (to_ != nullptr) start_ = Clock::now();
    }
    ~Counting() {
      if (to_ != nullptr) to_->time += Clock::now() - start_;
    }
    Counting(const Counting&) = delete;
    Counting& operator=(const Counting&) = delete;

   private:
    Counted* to_;
    Clock::time_point start_;
  };

  std::vector<std::thread> workers;
  std::atomic<std::uint32_t> phase{0};    // bumped to start a phase
  std::atomic<std::uint32_t> running{0};  // workers still inside the phase
  std::atomic<bool> stop{false};
  // The current phase; written before `phase` is bumped.
  std::atomic<std::int64_t> next{0};
  std::int64_t count = 0;
  std::int64_t grain = 1;
  const FunctionRef<void(std::int64_t, std::int64_t, int)>* body = nullptr;
  bool counts_times = false;
  std::vector<Counted> counts;  // by thread: the caller's of waiting, the others' of work

  Counted* count_of(int thread) { return counts_times ? &counts[static_cast<std::size_t>(thread)] : nullptr; }

  void join() {
    stop.store(true, std::memory_order_relaxed);
    phase.fetch_add(1, std::memory_order_release);
    phase.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void drain(int thread) {
    while (true) {
      const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      (*body)(begin, std::min(begin + grain, count), thread);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) threads = available_cores();
  state_->counts.resize(static_cast<std::size_t>(threads));
  state_->workers.reserve(static_cast<std::size_t>(threads - 1));
  try {
    for (int i = 1; i < threads; ++i) state_->workers.emplace_back([this, i] { work(i); });
  } catch (...) {  // std::system_error: the system gives no more threads
    state_->join();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  state_->join();
}

int ThreadPool::size() const {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::count_times(bool on) {
  state_->counts_times = on;
}

ThreadPool::Times ThreadPool::times() const {
  const auto seconds = [](const State::Counted& one) {
    return std::chrono::duration<double>(one.time).count();
  };
  Times times;
  times.waited = seconds(state_->counts[0]);
  for (std::size_t i = 1; i < state_->counts.size(); ++i) times.worked += seconds(state_->counts[i]);
  return times;
}

void ThreadPool::work(int thread) {
  State& state = *state_;
  std::uint32_t seen = 0;
  while (true) {
    wait_for_change(state.phase, seen);
    ++seen;  // phases are never skipped: the caller waits for all workers before the next one
    if (state.stop.load(std::memory_order_relaxed)) return;
    {
      const State::Counting working(state.count_of(thread));
      state.drain(thread);
    }
    if (state.running.fetch_sub(1, std::memory_order_acq_rel) == 1) state.running.notify_one();
  }
}

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain,
                              FunctionRef<void(std::int64_t, std::int64_t, int)> body) {
  check(grain > 0, "parallel_for needs a positive grain");
  State& state = *state_;
  if (count <= 0) return;
  if (state.workers.empty() || count <= grain) {
    for (std::int64_t begin = 0; begin < count; begin += grain)
      body(begin, std::min(begin + grain, count), 0);
    return;
  }
  state.count = count;
  state.grain = grain;
  state.body = &body;
  state.next.store(0, std::memory_order_relaxed);
  state.running.store(static_cast<std::uint32_t>(state.workers.size()), std::memory_order_relaxed);
  state.phase.fetch_add(1, std::memory_order_release);
  state.phase.notify_all();
  state.drain(0);
  const State::Counting waiting(state.count_of(0));
  while (true) {
    const std::uint32_t left = state.running.load(std::memory_order_acquire);
    if (left == 0) return;
    wait_for_change(state.running, left);
  }
}

}  // namespace trine
