#include "base/topology.h"
#include "base/affinity.h"
#include "base/system.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace trine {
namespace {

using Numbers = std::vector<int>;

// A planted /sys, with the files that Linux 6 has on machines of each kind.
class TopologyTest : public testing::Test {
 protected:
  void plant(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << '\n';
  }
  void plant_cpu(int thread, const std::string& file, const std::string& text) const {
    plant("/sys/devices/system/cpu/cpu" + std::to_string(thread) + "/" + file, text);
  }
  void plant_siblings(const Numbers& threads, const std::string& list,
                      const std::string& file = "topology/thread_siblings_list") const {
    for (const int thread : threads) plant_cpu(thread, file, list);
  }
  // Four cores of two hyper-threads, numbered as most machines do: the second ones behind all first ones.
  void plant_smt_machine() const {
    plant("/sys/devices/system/cpu/online", "0-7");
    for (int core = 0; core < 4; ++core)
      plant_siblings({core, core + 4}, std::to_string(core) + "," + std::to_string(core + 4));
    plant("/sys/devices/system/node/online", "0");
    plant("/sys/devices/system/node/node0/cpulist", "0-7");
  }
  // As an i5-1240P has it: four performance cores of two hyper-threads each, eight efficiency cores.
  void plant_hybrid_machine() const {
    plant("/sys/devices/system/cpu/online", "0-15");
    for (int core = 0; core < 8; core += 2)
      plant_siblings({core, core + 1}, std::to_string(core) + "-" + std::to_string(core + 1));
    for (int thread = 8; thread < 16; ++thread) plant_siblings({thread}, std::to_string(thread));
  }
  void plant_quota(const std::string& max) const {
    plant("/proc/self/cgroup", "0::/");
    plant("/proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
    plant("/sys/fs/cgroup/cpu.max", max);
  }

  test::TemporaryFolder folder_;
  const std::string root_ = folder_.path();
};

Numbers numbers_to(int end) {
  Numbers numbers;
  for (int i = 0; i < end; ++i) numbers.push_back(i);
  return numbers;
}

std::vector<Numbers> threads_of_cores(const Topology& topology) {
  std::vector<Numbers> threads;
  for (const Core& core : topology.cores) threads.push_back(core.threads);
  return threads;
}

TEST(CpuList, IsReadAsLinuxWritesIt) {
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11\n"), (Numbers{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpu_list("7"), Numbers{7});
  EXPECT_EQ(parse_cpu_list("\n"), Numbers{});
  EXPECT_EQ(parse_cpu_list(""), Numbers{});
  EXPECT_EQ(parse_cpu_list("1,x"), Numbers{1});
  EXPECT_EQ(parse_cpu_list("2-"), Numbers{});
  EXPECT_LE(parse_cpu_list("0-2147483647").size(), 1u << 16);
}

TEST_F(TopologyTest, HyperThreadsAreOneCore) {
  plant_smt_machine();
  const Topology topology = read_topology(numbers_to(8), root_);
  EXPECT_EQ(threads_of_cores(topology), (std::vector<Numbers>{{0, 4}, {1, 5}, {2, 6}, {3, 7}}));
  EXPECT_EQ(topology.threads(), 8);
  EXPECT_EQ(topology.cores_of(CoreKind::performance), 4);
  EXPECT_EQ(topology.nodes(), Numbers{0});
  EXPECT_EQ(default_threads(topology, root_), 4);
}

TEST_F(TopologyTest, SiblingsUnderTheirNewerName) {
  plant("/sys/devices/system/cpu/online", "0-1");
  plant_siblings({0, 1}, "0-1", "topology/core_cpus_list");
  EXPECT_EQ(threads_of_cores(read_topology({0, 1}, root_)), (std::vector<Numbers>{{0, 1}}));
}

// Whose files of each processor agree that the second half is weaker.
TEST_F(TopologyTest, AHybridMachineNamesItsCores) {
  plant_hybrid_machine();
  plant("/sys/devices/cpu_core/cpus", "0-7");
  plant("/sys/devices/cpu_atom/cpus", "8-15");
  const Topology topology = read_topology(numbers_to(16), root_);
  EXPECT_EQ(topology.cores.size(), 12u);
  EXPECT_EQ(topology.threads(), 16);
  EXPECT_EQ(topology.cores_of(CoreKind::performance), 4);
  EXPECT_EQ(topology.cores_of(CoreKind::efficiency), 8);
  EXPECT_EQ(topology.cores.front().kind, CoreKind::performance);
  EXPECT_EQ(topology.cores.back().kind, CoreKind::efficiency);
  EXPECT_EQ(default_threads(topology, root_), 12);
}

// As a Raptor Lake's cpufreq has them: two favoured cores, which are of no kind of their own.
TEST_F(TopologyTest, FrequenciesTellKindsApartWhereNothingElseDoes) {
  plant_hybrid_machine();
  for (int thread = 0; thread < 16; ++thread)
    plant_cpu(thread, "cpufreq/cpuinfo_max_freq",
              thread < 2   ? "5800000"
              : thread < 8 ? "5500000"
                           : "4300000");
  const Topology topology = read_topology(numbers_to(16), root_);
  EXPECT_EQ(topology.cores_of(CoreKind::performance), 4);
  EXPECT_EQ(topology.cores_of(CoreKind::efficiency), 8);
  // A capacity says more than a frequency.
  for (int thread = 0; thread < 16; ++thread) plant_cpu(thread, "cpu_capacity", "1024");
  EXPECT_EQ(read_topology(numbers_to(16), root_).cores_of(CoreKind::efficiency), 0);
}

// As a Snapdragon has it: one prime core, three of the second tier, four small ones.
TEST_F(TopologyTest, CapacitiesOfArm) {
  plant("/sys/devices/system/cpu/online", "0-7");
  for (int thread = 0; thread < 8; ++thread)
    plant_cpu(thread, "cpu_capacity", thread < 4 ? "325" : thread < 7 ? "870" : "1024");
  const Topology topology = read_topology(numbers_to(8), root_);
  EXPECT_EQ(topology.cores_of(CoreKind::efficiency), 4);
  EXPECT_EQ(topology.cores[3].kind, CoreKind::efficiency);
  EXPECT_EQ(topology.cores[4].kind, CoreKind::performance);
  // Small cores do not become large ones where there is no other to be used.
  EXPECT_EQ(read_topology({0, 1}, root_).cores_of(CoreKind::efficiency), 2);
}

TEST_F(TopologyTest, TheQuotaLimitsThreadsRoundedUp) {
  plant_smt_machine();
  plant_quota("150000 100000");
  EXPECT_EQ(default_threads(read_topology(numbers_to(8), root_), root_), 2);
  plant_quota("50000 100000");
  EXPECT_EQ(default_threads(read_topology(numbers_to(8), root_), root_), 1);
  plant_quota("1600000 100000");
  EXPECT_EQ(default_threads(read_topology(numbers_to(8), root_), root_), 4);
}

TEST_F(TopologyTest, AffinityOfOneThread) {
  plant_smt_machine();
  const Topology topology = read_topology({6}, root_);
  EXPECT_EQ(threads_of_cores(topology), std::vector<Numbers>{{6}});
  EXPECT_EQ(default_threads(topology, root_), 1);
}

// A cpuset of one whole core and half of another; the kernel shows it as the process's affinity.
TEST_F(TopologyTest, ACpusetLeavesPartsOfCores) {
  plant_smt_machine();
  const Topology topology = read_topology({2, 3, 7}, root_);
  EXPECT_EQ(threads_of_cores(topology), (std::vector<Numbers>{{2}, {3, 7}}));
  EXPECT_EQ(topology.threads(), 3);
  EXPECT_EQ(default_threads(topology, root_), 2);
}

TEST_F(TopologyTest, CoresLieOnNodes) {
  plant_smt_machine();
  plant("/sys/devices/system/node/online", "0,2");
  plant("/sys/devices/system/node/node0/cpulist", "0-1,4-5");
  plant("/sys/devices/system/node/node2/cpulist", "2-3,6-7");
  const Topology topology = read_topology(numbers_to(8), root_);
  EXPECT_EQ(topology.nodes(), (Numbers{0, 2}));
  EXPECT_EQ(topology.cores[1].node, 0);
  EXPECT_EQ(topology.cores[2].node, 2);
  EXPECT_EQ(read_topology({3}, root_).nodes(), Numbers{2});
}

TEST_F(TopologyTest, ThreadsAreBoundCoreByCoreAndNodeByNode) {
  plant_smt_machine();
  EXPECT_EQ(binding_order(read_topology(numbers_to(8), root_)), numbers_to(8));
  plant("/sys/devices/system/node/online", "0-1");
  plant("/sys/devices/system/node/node0/cpulist", "0-1,4-5");
  plant("/sys/devices/system/node/node1/cpulist", "2-3,6-7");
  EXPECT_EQ(binding_order(read_topology(numbers_to(8), root_)), (Numbers{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(binding_order(read_topology({2, 3, 6}, root_)), (Numbers{2, 3, 6}));
}

TEST_F(TopologyTest, PerformanceCoresAreBoundFirst) {
  plant_hybrid_machine();
  plant("/sys/devices/cpu_core/cpus", "0-7");
  plant("/sys/devices/cpu_atom/cpus", "8-15");
  EXPECT_EQ(binding_order(read_topology(numbers_to(16), root_)),
            (Numbers{0, 2, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 1, 3, 5, 7}));
}

TEST_F(TopologyTest, WithoutSysEachThreadIsACore) {
  const Topology topology = read_topology({0, 1, 5}, root_);
  EXPECT_EQ(threads_of_cores(topology), (std::vector<Numbers>{{0}, {1}, {5}}));
  EXPECT_EQ(topology.cores_of(CoreKind::performance), 3);
  EXPECT_EQ(topology.nodes(), Numbers{0});
  EXPECT_EQ(default_threads(topology, root_), 3);
}

TEST(TopologyHere, IsWhatTheProcessMayUse) {
  const Numbers allowed = allowed_threads();
  cpu_set_t set;
  CPU_ZERO(&set);
  ASSERT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_EQ(allowed.size(), static_cast<std::size_t>(CPU_COUNT(&set)));
  const Topology topology = read_topology(allowed);
  EXPECT_EQ(topology.threads(), static_cast<int>(allowed.size()));
  EXPECT_GE(default_threads(), 1);
  EXPECT_LE(default_threads(), available_cores());
}

}  // namespace
}  // namespace trine
