#include "base/thread_pool.h"
#include "base/system.h"

#include <gtest/gtest.h>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace trine {
namespace {

class ThreadPoolTest : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, VisitsEveryIndexOnce) {
  ThreadPool pool(GetParam());
  for (const std::int64_t count : {0, 1, 7, 64, 1000}) {
    for (const std::int64_t grain : {1, 3, 64, 5000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
      std::atomic<bool> range_ok{true};
      pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end, int thread) {
        if (thread < 0 || thread >= pool.size() || end - begin > grain || begin >= end) range_ok = false;
        for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      EXPECT_TRUE(range_ok);
      for (const auto& one : visits) EXPECT_EQ(one, 1);
    }
  }
}

TEST_P(ThreadPoolTest, ManyShortPhasesSeeEachOthersWrites) {
  ThreadPool pool(GetParam());
  std::vector<std::int64_t> values(64, 0);
  for (int phase = 0; phase < 2000; ++phase) {
    pool.parallel_for(64, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) ++values[static_cast<std::size_t>(i)];
    });
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), std::int64_t{0}), 64 * 2000);
}

TEST_P(ThreadPoolTest, ThreadIndexIsNeverSharedAtOneTime) {
  ThreadPool pool(GetParam());
  std::vector<std::atomic<int>> inside(static_cast<std::size_t>(pool.size()));
  std::atomic<bool> shared{false};
  pool.parallel_for(500, 1, [&](std::int64_t, std::int64_t, int thread) {
    if (inside[static_cast<std::size_t>(thread)]++ != 0) shared = true;
    --inside[static_cast<std::size_t>(thread)];
  });
  EXPECT_FALSE(shared);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 5));

TEST(ThreadPool, ZeroMeansOnePerCore) {
  EXPECT_EQ(ThreadPool(0).size(), available_cores());
}

TEST(ThreadPool, WorkersWakeAfterSleeping) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> sum{0};
    pool.parallel_for(
        30, 1, [&](std::int64_t begin, std::int64_t end, int) { sum += static_cast<int>(end - begin); });
    EXPECT_EQ(sum, 30);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // far longer than a worker spins
  }
}

// Of two threads the one that sleeps is waited for, whichever of them that is.
TEST(ThreadPool, CountsWorkAndWaitingWhenAsked) {
  using std::chrono::milliseconds;
  ThreadPool pool(2);
  const auto sleep_on = [&](int sleeper) {
    std::atomic<int> inside{0};
    pool.parallel_for(2, 1, [&](std::int64_t, std::int64_t, int thread) {
      ++inside;
      while (inside < 2) std::this_thread::yield();  // one task for each
      if (thread == sleeper) std::this_thread::sleep_for(milliseconds(100));
    });
  };
  sleep_on(1);
  EXPECT_EQ(pool.times().worked, 0);
  EXPECT_EQ(pool.times().waited, 0);

  pool.count_times(true);
  sleep_on(1);
  const ThreadPool::Times worker = pool.times();
  EXPECT_GE(worker.worked, 0.1);
  EXPECT_GT(worker.waited, 0);
  sleep_on(0);
  EXPECT_LT(pool.times().waited - worker.waited, 0.1) << "the caller slept itself";
  pool.count_times(false);
  const ThreadPool::Times before = pool.times();
  sleep_on(1);
  EXPECT_EQ(pool.times().worked, before.worked);
  EXPECT_EQ(pool.times().waited, before.waited);
}

}  // namespace
}  // namespace trine
