#pragma once

#include "base/error.h"

#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

namespace trine {

// A reference to a callable, without ownership or allocation: a function pointer and the object it wants.
template <typename Signature>
class FunctionRef;
template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT(bugprone-forwarding-reference-overload)
      : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, static_cast<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

// Threads that stay alive between phases of work. A phase costs a microsecond: whoever waits spins for some
// tens of microseconds before it sleeps, and nobody is woken who does not sleep. A thread that the system
// keeps from running takes no part in a phase that the others finish meanwhile, so they do not wait for it.
// One caller at a time; not reentrant. What a body throws on the calling thread leaves the call when the
// others are done; thrown on another thread it ends the process.
class ThreadPool {
 public:
  // `threads` counts the caller, which works too; 1 starts none. 0 means default_threads().
  // Throws std::system_error when the system gives no more threads.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Binds each thread to one hardware thread, the caller's to the first; there are at least size(). The
  // caller's is bound until the pool goes, when that is on the same thread; pools that it starts meanwhile
  // are not. Errors: those of bind_thread(), which leave some threads bound.
  Result<void> bind(const std::vector<int>& to);

  using Body = FunctionRef<void(std::int64_t begin, std::int64_t end, int thread)>;

  // Calls body(begin, end, thread) over disjoint ranges that cover [0, count), each at most `grain` long,
  // from any thread (0 <= thread < size()). Returns when all are done. Which thread gets which range varies
  // from call to call, so a result must not depend on `thread`: use it only to pick scratch memory.

  // Ranges are handed out from the front, one by one, to whoever asks next.
  void parallel_for(std::int64_t count, std::int64_t grain, Body body);
  // Each thread has one stretch of [0, count), as long as the others' to within `grain`, and walks it from
  // its front, so that it reads one stream of memory. Who is done takes over the rear half of what the thread
  // with the most work has left. All ranges but the last are `grain` long and begin at multiples of it; fewer
  // than 2^32 of them.
  void parallel_ranges(std::int64_t count, std::int64_t grain, Body body);

  // For benchmarks. Seconds from the pool's start on, over the calls during which they were counted: how long
  // all threads but the caller ran bodies, and how long the caller waited for them. Between phases only.
  struct Times {
    double worked = 0;
    double waited = 0;
  };
  void count_times(bool on);
  Times times() const;

 private:
  struct State;
  void work(int thread);
  std::unique_ptr<State> state_;
};

}  // namespace trine
