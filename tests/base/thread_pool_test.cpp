#include "base/thread_pool.h"
#include "base/affinity.h"
#include "base/topology.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <random>
#include <stdexcept>
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

// Every index once, in ranges that begin at multiples of the grain, whatever the threads do meanwhile.
TEST_P(ThreadPoolTest, RangesCoverEveryIndexOnce) {
  ThreadPool pool(GetParam());
  std::mt19937 random(12);
  const auto below = [&](std::int64_t n) {
    return std::uniform_int_distribution<std::int64_t>(0, n - 1)(random);
  };
  for (int round = 0; round < 300; ++round) {
    const std::int64_t count = below(round % 3 == 0 ? 20 : 3000);
    const std::int64_t grain = 1 + below(round % 2 == 0 ? 4 : 700);
    // Some ranges take long, and now and then all threads have gone to sleep.
    const std::int64_t slow = below(1000);
    if (round % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
    std::atomic<bool> range_ok{true};
    pool.parallel_ranges(count, grain, [&](std::int64_t begin, std::int64_t end, int thread) {
      if (thread < 0 || thread >= pool.size() || begin % grain != 0 || end != std::min(begin + grain, count))
        range_ok = false;
      if (begin / grain % 1000 == slow) std::this_thread::sleep_for(std::chrono::microseconds(200));
      for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    EXPECT_TRUE(range_ok) << count << " by " << grain;
    for (const auto& one : visits) ASSERT_EQ(one, 1) << count << " by " << grain;
  }
}

// Both kinds of phases in turn, with plain writes that the next phase's threads read.
TEST_P(ThreadPoolTest, RangesSeeEarlierPhases) {
  ThreadPool pool(GetParam());
  std::vector<std::int64_t> values(101, 0);
  for (int phase = 0; phase < 3000; ++phase) {
    const auto next = [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        std::int64_t& value = values[static_cast<std::size_t>(i)];
        EXPECT_EQ(value, phase);
        value = phase + 1;
      }
    };
    if (phase % 3 == 0) {
      pool.parallel_for(101, 7, next);
    } else {
      pool.parallel_ranges(101, 7, next);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 5));

TEST(ThreadPool, ZeroMeansOnePerCore) {
  EXPECT_EQ(ThreadPool(0).size(), default_threads());
}

// The caller runs one range, which ends once all other threads have woken and run theirs.
TEST(ThreadPool, WorkersWakeAfterSleeping) {
  ThreadPool pool(3);
  for (int round = 0; round < 6; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // far longer than a worker spins
    std::atomic<int> arrived{0};
    const auto body = [&](std::int64_t, std::int64_t, int) {
      ++arrived;
      while (arrived < 3) std::this_thread::yield();
    };
    if (round % 2 == 0) {
      pool.parallel_for(3, 1, body);
    } else {
      pool.parallel_ranges(3, 1, body);
    }
    EXPECT_EQ(arrived, 3);
  }
}

// The caller sleeps as well where the others take long, and is woken.
TEST(ThreadPool, TheCallerWakesAfterSleeping) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> arrived{0}, done{0};
    pool.parallel_ranges(3, 1, [&](std::int64_t, std::int64_t, int thread) {
      ++arrived;
      while (arrived < 3) std::this_thread::yield();
      if (thread != 0) std::this_thread::sleep_for(std::chrono::milliseconds(5 * thread));
      ++done;
    });
    EXPECT_EQ(done, 3);
  }
}

// Waits until `n` have come, so that each thread runs one of the first ranges.
void meet(std::atomic<int>& arrived, int n) {
  ++arrived;
  while (arrived < n) std::this_thread::yield();
}

// Where nobody is held up, a thread walks its own stretch front to back.
TEST(ThreadPool, RangesOfAThreadAreOneStretchInOrder) {
  ThreadPool pool(2);
  std::atomic<int> arrived{0}, done{0};
  std::vector<std::int64_t> begins[2];
  pool.parallel_ranges(80, 4, [&](std::int64_t begin, std::int64_t, int thread) {
    std::vector<std::int64_t>& mine = begins[thread];
    if (mine.empty()) meet(arrived, 2);
    mine.push_back(begin);
    if (mine.size() == 10) meet(done, 2);  // neither finds the other's undone
  });
  for (int thread = 0; thread < 2; ++thread) {
    ASSERT_EQ(begins[thread].size(), 10u);
    for (std::int64_t i = 0; i < 10; ++i)
      EXPECT_EQ(begins[thread][static_cast<std::size_t>(i)], 40 * thread + 4 * i);
  }
}

// A thread that is stuck in its first range loses the rest of its stretch, from the back, to the others.
TEST(ThreadPool, OthersTakeOverFromASlowThread) {
  for (const int slow : {0, 2}) {
    ThreadPool pool(3);
    std::atomic<int> arrived{0}, left{29};
    std::vector<std::int64_t> begins[3];
    pool.parallel_ranges(30, 1, [&](std::int64_t begin, std::int64_t, int thread) {
      if (begins[thread].empty()) meet(arrived, 3);
      begins[thread].push_back(begin);
      if (thread == slow) {
        while (left > 0) std::this_thread::yield();  // until the others have done everything else
      } else {
        --left;
      }
    });
    EXPECT_EQ(begins[slow], std::vector<std::int64_t>{slow * 10});
    EXPECT_EQ(begins[0].size() + begins[1].size() + begins[2].size(), 30u);
    std::int64_t first_taken = 0;
    for (int thread = 0; thread < 3; ++thread) {
      if (thread == slow) continue;
      EXPECT_EQ(begins[thread].front(), thread * 10) << "its own comes first";
      const auto taken = std::find_if(begins[thread].begin(), begins[thread].end(),
                                      [&](std::int64_t begin) { return begin / 10 == slow; });
      if (taken != begins[thread].end()) first_taken = std::max(first_taken, *taken);
    }
    EXPECT_GE(first_taken, slow * 10 + 5) << "the rear half of the nine that were left comes first";
  }
}

// A phase ends without a thread that the system does not run: here one that has far to go before it is awake.
TEST(ThreadPool, APhaseNeedsNoMoreThanTheCaller) {
  ThreadPool pool(64);
  for (int round = 0; round < 200; ++round) {
    std::atomic<std::int64_t> sum{0};
    pool.parallel_ranges(128, 1, [&](std::int64_t begin, std::int64_t, int) { sum += begin; });
    EXPECT_EQ(sum, 127 * 64);
  }
}

TEST(ThreadPool, WhatTheCallersBodyThrowsLeavesTheCall) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> arrived{0}, runs{0};
    const auto body = [&](std::int64_t, std::int64_t, int thread) {
      ++runs;
      if (arrived < 3) meet(arrived, 3);  // the caller among them
      if (thread == 0) throw std::runtime_error("by the caller");
    };
    if (round % 2 == 0) {
      EXPECT_THROW(pool.parallel_for(10, 1, body), std::runtime_error);
    } else {
      EXPECT_THROW(pool.parallel_ranges(10, 1, body), std::runtime_error);
    }
    const int then = runs;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    EXPECT_EQ(runs, then) << "nobody runs the body any more";
  }
}

TEST(ThreadPoolDeathTest, WhatAnotherThreadsBodyThrowsEndsTheProcess) {
  EXPECT_DEATH(
      {
        ThreadPool pool(2);
        std::atomic<int> arrived{0};
        pool.parallel_ranges(2, 1, [&](std::int64_t, std::int64_t, int thread) {
          meet(arrived, 2);
          if (thread == 1) throw std::runtime_error("by another");
        });
      },
      "by another");
}

// Where the calling thread runs, as the system says.
std::vector<int> bound_to() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> threads;
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(static_cast<std::size_t>(i), &set)) threads.push_back(i);
  return threads;
}

std::vector<std::vector<int>> bound_to(ThreadPool& pool) {
  std::vector<std::vector<int>> places(static_cast<std::size_t>(pool.size()));
  std::atomic<int> arrived{0};
  pool.parallel_ranges(pool.size(), 1, [&](std::int64_t, std::int64_t, int thread) {
    places[static_cast<std::size_t>(thread)] = bound_to();
    meet(arrived, pool.size());
  });
  return places;
}

TEST(ThreadPool, ThreadsAreBoundWhenAsked) {
  const std::vector<int> anywhere = bound_to();
  {
    ThreadPool pool(3);
    const std::vector<int> to = {anywhere.back(), anywhere.front(), anywhere.back()};
    const Result<void> bound = pool.bind(to);
    ASSERT_TRUE(bound) << to_string(bound.error());
    EXPECT_EQ(bound_to(pool), (std::vector<std::vector<int>>{{to[0]}, {to[1]}, {to[2]}}));
    // What the caller does besides is not confined with it.
    EXPECT_EQ(allowed_threads(), anywhere);
    ThreadPool other(2);
    EXPECT_EQ(bound_to(other)[1], anywhere);
  }
  EXPECT_EQ(bound_to(), anywhere);
}

TEST(ThreadPool, AProcessorThatIsNotThereIsAnError) {
  ThreadPool pool(2);
  const Result<void> bound = pool.bind({0, 5000});
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::backend_unavailable);
  EXPECT_EQ(bound.error().where, "processor 5000");
  EXPECT_FALSE(bound.error().actual.empty());
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
