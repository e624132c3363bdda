#include "base/affinity.h"

#include "base/system.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace trine {
namespace {

// A set with room for as many hardware threads as a machine may have.
class CpuSet {
 public:
  explicit CpuSet(int room)
      : room_(static_cast<std::size_t>(room)), bytes_(CPU_ALLOC_SIZE(room_)), set_(CPU_ALLOC(room_)) {
    if (set_ == nullptr) throw std::bad_alloc();
    CPU_ZERO_S(bytes_, set_);
  }
  ~CpuSet() { CPU_FREE(set_); }
  CpuSet(const CpuSet&) = delete;
  CpuSet& operator=(const CpuSet&) = delete;

  void add(int thread) { CPU_SET_S(static_cast<std::size_t>(thread), bytes_, set_); }
  std::vector<int> threads() const {
    std::vector<int> threads;
    for (std::size_t i = 0; i < room_; ++i)
      if (CPU_ISSET_S(i, bytes_, set_)) threads.push_back(static_cast<int>(i));
    return threads;
  }
  std::size_t bytes() const { return bytes_; }
  cpu_set_t* get() { return set_; }

 private:
  std::size_t room_;
  std::size_t bytes_;
  cpu_set_t* set_;
};

// What the calling thread could run on before it was bound; empty where it is not.
thread_local std::vector<int> before_bound;

}  // namespace

std::vector<int> allowed_threads() {
  if (!before_bound.empty()) return before_bound;
  // The kernel refuses a set with less room than it has processors.
  for (int room = CPU_SETSIZE; room <= 1 << 16; room *= 4) {
    CpuSet set(room);
    if (::sched_getaffinity(0, set.bytes(), set.get()) == 0) return set.threads();
    if (errno != EINVAL) break;
  }
  std::vector<int> all;
  for (int i = 0; i < online_cores(); ++i) all.push_back(i);
  return all;
}

Result<void> bind_thread(pthread_t thread, const std::vector<int>& to) {
  CpuSet set(std::max(CPU_SETSIZE, 1 + *std::max_element(to.begin(), to.end())));
  for (const int one : to) set.add(one);
  const int problem = ::pthread_setaffinity_np(thread, set.bytes(), set.get());
  if (problem == 0) return {};
  return fail({.code = ErrorCode::backend_unavailable,
               .what = "the system does not bind a thread to a processor",
               .where = fmt::format("processor {}", fmt::join(to, ", ")),
               .actual = std::strerror(problem)});
}

Result<void> bind_caller(int to) {
  std::vector<int> before = allowed_threads();
  TRINE_CHECK_OK(bind_thread(::pthread_self(), {to}));
  before_bound = std::move(before);
  return {};
}

bool is_caller_bound() {
  return !before_bound.empty();
}

void unbind_caller() {
  if (before_bound.empty()) return;
  // It could run there before. Where processors have gone meanwhile, nothing better is left than to stay.
  static_cast<void>(bind_thread(::pthread_self(), before_bound));
  before_bound.clear();
}

}  // namespace trine
