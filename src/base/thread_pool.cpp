#include "base/thread_pool.h"

#include "base/affinity.h"
#include "base/check.h"
#include "base/topology.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <optional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace trine {
namespace {

using Clock = std::chrono::steady_clock;

// Longer than what one thread does alone between two phases of a decoding step, short beside the 50 µs or
// more that waking a thread takes.
constexpr std::chrono::microseconds spin_time(30);
// Rounds between two looks at the clock: a pause is 10 to 150 cycles, by processor.
constexpr int rounds_per_look = 32;

// Two lines of the cache: Intel's fetch them in pairs.
constexpr std::size_t apart = 128;

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done() holds or its time is over; returns the former.
template <typename Done>
bool spin_until(Done done) {
  std::optional<Clock::time_point> end;
  while (true) {
    for (int i = 0; i < rounds_per_look; ++i) {
      if (done()) return true;
      pause_cpu();
    }
    const Clock::time_point now = Clock::now();
    if (!end) end = now + spin_time;
    if (now >= *end) return false;
  }
}

}  // namespace

// What a pool's state is made of.
namespace pool {

// A stretch of a phase's ranges that nobody has taken: [begin, end), counted in grains. Only the thread that
// owns it refills it, when it is empty; everybody takes from it.
class alignas(apart) Share {
 public:
  struct Stretch {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;

    std::uint32_t size() const { return end - begin; }
  };

  void put(Stretch stretch) { packed_.store(pack(stretch), std::memory_order_release); }
  std::uint32_t left() const { return unpack(packed_.load(std::memory_order_relaxed)).size(); }

  // The first range: the owner's way.
  std::optional<std::uint32_t> take_first() {
    std::uint64_t old = packed_.load(std::memory_order_relaxed);
    while (true) {
      const Stretch stretch = unpack(old);
      if (stretch.size() == 0) return std::nullopt;
      if (exchange(old, {stretch.begin + 1, stretch.end})) return stretch.begin;
    }
  }
  // The rear half, rounded up: a thief's way. Empty when nothing is left.
  Stretch take_rear() {
    std::uint64_t old = packed_.load(std::memory_order_relaxed);
    while (true) {
      const Stretch stretch = unpack(old);
      const std::uint32_t middle = stretch.begin + stretch.size() / 2;
      if (stretch.size() == 0 || exchange(old, {stretch.begin, middle})) return {middle, stretch.end};
    }
  }

 private:
  static std::uint64_t pack(Stretch s) { return std::uint64_t{s.end} << 32 | s.begin; }
  static Stretch unpack(std::uint64_t packed) {
    return {static_cast<std::uint32_t>(packed), static_cast<std::uint32_t>(packed >> 32)};
  }
  // That the same value may have come back meanwhile does no harm: what it says is not taken, is not taken.
  bool exchange(std::uint64_t& old, Stretch to) {
    return packed_.compare_exchange_weak(old, pack(to), std::memory_order_acq_rel, std::memory_order_relaxed);
  }

  std::atomic<std::uint64_t> packed_{0};
};

// Whether a thread is inside a phase, for the caller to wait for.
class alignas(apart) Presence {
 public:
  void enter() { where_.store(inside, std::memory_order_seq_cst); }
  void leave() {
    if (where_.exchange(outside, std::memory_order_acq_rel) == awaited) where_.notify_one();
  }
  void wait_outside() {
    if (spin_until([this] { return where_.load(std::memory_order_seq_cst) == outside; })) return;
    std::uint32_t now = inside;
    if (where_.compare_exchange_strong(now, awaited, std::memory_order_acq_rel, std::memory_order_acquire))
      where_.wait(awaited, std::memory_order_acquire);
  }

 private:
  enum : std::uint32_t { outside, inside, awaited };
  std::atomic<std::uint32_t> where_{outside};
};

// A thread's count, on cache lines of its own.
struct alignas(apart) Counted {
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

}  // namespace pool

struct ThreadPool::State {
  using Share = pool::Share;
  using Counting = pool::Counting;

  explicit State(std::size_t threads) : shares(threads), presence(threads), counts(threads) {}

  // Odd while a phase is open, which a thread enters by its presence: it says that it is inside and then
  // looks whether the phase still is open; the caller closes the phase and then looks who is inside. In the
  // one order of all these operations one of them sees the other.
  alignas(apart) std::atomic<std::uint32_t> phase{0};
  std::atomic<bool> stop{false};
  // What an open phase does; written before it is opened.
  bool in_shares = false;
  std::int64_t count = 0;
  std::int64_t grain = 1;
  const Body* body = nullptr;
  bool counts_times = false;

  alignas(apart) std::atomic<std::uint32_t> sleepers{0};  // threads that wait for a phase without spinning
  alignas(apart) std::atomic<std::int64_t> next{0};       // what parallel_for() hands out
  // By thread. The caller is always present; it counts its waiting, the others their work.
  std::vector<Share> shares;
  std::vector<pool::Presence> presence;
  std::vector<pool::Counted> counts;
  std::vector<std::thread> workers;
  std::optional<std::thread::id> bound_caller;

  pool::Counted* count_of(int thread) {
    return counts_times ? &counts[static_cast<std::size_t>(thread)] : nullptr;
  }

  void join() {
    stop.store(true, std::memory_order_relaxed);
    phase.fetch_add(1, std::memory_order_seq_cst);
    phase.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  // Runs a phase that is set up.
  void run() {
    phase.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) phase.notify_all();
    const Closing closing(*this);
    take_part(0);
  }
  // Ends a phase, also one that an exception leaves, when nothing is left to take.
  class Closing {
   public:
    explicit Closing(State& state) : state_(state) {}
    ~Closing() {
      const Counting waiting(state_.count_of(0));
      state_.phase.fetch_add(1, std::memory_order_seq_cst);
      for (std::size_t i = 1; i < state_.presence.size(); ++i) state_.presence[i].wait_outside();
    }
    Closing(const Closing&) = delete;
    Closing& operator=(const Closing&) = delete;

   private:
    State& state_;
  };

  // Returns the phase's number once it is not `seen`.
  std::uint32_t wait_for_phase(std::uint32_t seen) {
    std::uint32_t now = seen;
    const auto changed = [&] {
      now = phase.load(std::memory_order_acquire);
      return now != seen;
    };
    if (spin_until(changed)) return now;
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    phase.wait(seen, std::memory_order_seq_cst);
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    return phase.load(std::memory_order_acquire);
  }

  void take_part(int thread) {
    if (in_shares) {
      walk_shares(thread);
    } else {
      drain(thread);
    }
  }
  void drain(int thread) {
    while (true) {
      const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      (*body)(begin, std::min(begin + grain, count), thread);
    }
  }
  void walk_shares(int thread) {
    Share& own = shares[static_cast<std::size_t>(thread)];
    do {
      while (const std::optional<std::uint32_t> at = own.take_first()) {
        const std::int64_t begin = *at * grain;
        (*body)(begin, std::min(begin + grain, count), thread);
      }
    } while (take_over(own));
  }
  // Fills an empty share with half of the largest; false when there was nothing left in it.
  bool take_over(Share& own) {
    while (true) {
      const auto largest = std::max_element(
          shares.begin(), shares.end(), [](const Share& a, const Share& b) { return a.left() < b.left(); });
      if (largest->left() == 0) return false;
      const Share::Stretch taken = largest->take_rear();
      if (taken.size() == 0) continue;  // others were faster
      own.put(taken);
      return true;
    }
  }
};

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = default_threads();
  state_ = std::make_unique<State>(static_cast<std::size_t>(threads));
  state_->workers.reserve(static_cast<std::size_t>(threads - 1));
  try {
    for (int i = 1; i < threads; ++i) state_->workers.emplace_back([this, i] { work(i); });
    if (is_caller_bound()) {
      // They could run there before another pool bound the caller: nothing refuses that.
      const std::vector<int> anywhere = allowed_threads();
      for (std::thread& worker : state_->workers)
        static_cast<void>(bind_thread(worker.native_handle(), anywhere));
    }
  } catch (...) {  // std::system_error: the system gives no more threads
    state_->join();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  if (state_->bound_caller == std::this_thread::get_id()) unbind_caller();
  state_->join();
}

Result<void> ThreadPool::bind(const std::vector<int>& to) {
  State& state = *state_;
  check(to.size() > state.workers.size(), "each thread has a hardware thread to be bound to");
  for (std::size_t i = 0; i < state.workers.size(); ++i)
    TRINE_CHECK_OK(bind_thread(state.workers[i].native_handle(), {to[i + 1]}));
  TRINE_CHECK_OK(bind_caller(to.front()));
  state.bound_caller = std::this_thread::get_id();
  return {};
}

int ThreadPool::size() const {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::count_times(bool on) {
  state_->counts_times = on;
}

ThreadPool::Times ThreadPool::times() const {
  const auto seconds = [](const pool::Counted& one) {
    return std::chrono::duration<double>(one.time).count();
  };
  Times times;
  times.waited = seconds(state_->counts[0]);
  for (std::size_t i = 1; i < state_->counts.size(); ++i) times.worked += seconds(state_->counts[i]);
  return times;
}

void ThreadPool::work(int thread) {
  State& state = *state_;
  pool::Presence& presence = state.presence[static_cast<std::size_t>(thread)];
  std::uint32_t seen = 0;
  while (true) {
    seen = state.wait_for_phase(seen);
    if (seen % 2 == 0) continue;
    presence.enter();
    seen = state.phase.load(std::memory_order_seq_cst);
    if (state.stop.load(std::memory_order_relaxed)) return;
    if (seen % 2 != 0) {
      const State::Counting working(state.count_of(thread));
      state.take_part(thread);
    }
    presence.leave();
  }
}

namespace {

// Without other threads, or work for them.
void run_alone(std::int64_t count, std::int64_t grain, const ThreadPool::Body& body) {
  for (std::int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count), 0);
}

}  // namespace

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain, Body body) {
  check(grain > 0, "parallel_for needs a positive grain");
  State& state = *state_;
  if (state.workers.empty() || count <= grain) return run_alone(count, grain, body);
  state.in_shares = false;
  state.count = count;
  state.grain = grain;
  state.body = &body;
  state.next.store(0, std::memory_order_relaxed);
  state.run();
}

void ThreadPool::parallel_ranges(std::int64_t count, std::int64_t grain, Body body) {
  check(grain > 0, "parallel_ranges needs a positive grain");
  State& state = *state_;
  if (state.workers.empty() || count <= grain) return run_alone(count, grain, body);
  const std::int64_t ranges = (count - 1) / grain + 1;
  check(ranges <= std::numeric_limits<std::uint32_t>::max(), "ranges have numbers of 32 bits");
  state.in_shares = true;
  state.count = count;
  state.grain = grain;
  state.body = &body;
  const std::int64_t threads = size();
  std::uint32_t begin = 0;
  for (std::int64_t i = 0; i < threads; ++i) {
    const auto end = begin + static_cast<std::uint32_t>(ranges / threads + (i < ranges % threads ? 1 : 0));
    state.shares[static_cast<std::size_t>(i)].put({begin, end});
    begin = end;
  }
  state.run();
}

}  // namespace trine
