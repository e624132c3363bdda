#include "base/system.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>

namespace trine {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t gib = 1ull << 30;

// A planted /proc and /sys: a host of 64 GiB, of which 60 are available.
class System : public testing::Test {
 protected:
  System() {
    plant("/proc/meminfo", "MemTotal:       67108864 kB\nMemFree:  1024 kB\nMemAvailable:   62914560 kB\n");
  }

  void plant(const std::string& path, const std::string& text) const {
    const fs::path file = root_ + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void plant_bytes(const std::string& path, std::uint64_t bytes) const {
    plant(path, std::to_string(bytes) + "\n");
  }
  // Version 2, with this process in `group`.
  void mount_v2(const std::string& group, const std::string& top = "/") const {
    plant("/proc/self/cgroup", "0::" + group + "\n");
    plant("/proc/self/mountinfo", "22 20 0:5 / /proc rw - proc proc rw\n29 23 0:26 " + top +
                                      " /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void mount_v1(const std::string& group, const std::string& top = "/") const {
    plant("/proc/self/cgroup",
          "9:name=systemd:/\n4:memory:" + group + "\n1:cpu,cpuacct:" + group + "\n0::/\n");
    plant("/proc/self/mountinfo",
          "35 31 0:32 " + top + " /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n32 31 0:29 " +
              top + " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
  }

  test::TemporaryFolder folder_;
  const std::string root_ = folder_.path();
};

TEST_F(System, WithoutGroupsTheMachineDecides) {
  EXPECT_EQ(total_memory(root_), 64 * gib);
  EXPECT_EQ(available_memory(root_), 60 * gib);
  EXPECT_FALSE(core_quota(root_));
}

TEST_F(System, AContainerHasWhatItsGroupLeaves) {
  mount_v2("/");  // as in a namespace of its own
  plant_bytes("/sys/fs/cgroup/memory.max", 8 * gib);
  plant_bytes("/sys/fs/cgroup/memory.current", 3 * gib);
  plant("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(total_memory(root_), 8 * gib);
  EXPECT_EQ(available_memory(root_), 5 * gib);
  EXPECT_EQ(core_quota(root_), 1.5);
  EXPECT_LE(available_cores(root_), 2);
}

// A model of 7 GiB that was read through a mapping fills the group, and the kernel drops it when asked.
TEST_F(System, CachedFilesAreNotInTheWay) {
  mount_v2("/");
  plant_bytes("/sys/fs/cgroup/memory.max", 8 * gib);
  plant_bytes("/sys/fs/cgroup/memory.current", 8 * gib);
  plant("/sys/fs/cgroup/memory.stat",
        "anon 536870912\nfile 8053063680\nshmem 536870912\ninactive_anon 1\n"
        "active_file 4294967296\ninactive_file 3221225472\nslab_reclaimable 0\n");
  EXPECT_EQ(available_memory(root_), 7 * gib);
}

TEST_F(System, TheTightestGroupOnTheWayUpHolds) {
  mount_v2("/a/b/c");
  plant("/sys/fs/cgroup/a/memory.max", "max\n");
  plant("/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
  plant_bytes("/sys/fs/cgroup/a/b/memory.max", 4 * gib);
  plant_bytes("/sys/fs/cgroup/a/b/memory.current", 3 * gib);
  plant_bytes("/sys/fs/cgroup/a/b/c/memory.max", 16 * gib);
  plant_bytes("/sys/fs/cgroup/a/b/c/memory.high", 6 * gib);
  plant_bytes("/sys/fs/cgroup/a/b/c/memory.current", 1 * gib);
  plant("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  EXPECT_EQ(total_memory(root_), 4 * gib);
  EXPECT_EQ(available_memory(root_), 1 * gib);
  EXPECT_EQ(core_quota(root_), 0.5);
  EXPECT_EQ(available_cores(root_), 1);

  plant("/sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_EQ(total_memory(root_), 6 * gib);
  EXPECT_EQ(available_memory(root_), 5 * gib);
}

// The group keeps the host's name where the container sees it as the root of the mount.
TEST_F(System, AMountMayBeginAtTheGroup) {
  mount_v2("/docker/4f2a/inner", "/docker/4f2a");
  plant_bytes("/sys/fs/cgroup/memory.max", 8 * gib);
  plant_bytes("/sys/fs/cgroup/inner/memory.max", 2 * gib);
  EXPECT_EQ(total_memory(root_), 2 * gib);
}

TEST_F(System, VersionOneIsReadToo) {
  mount_v1("/pod/box");
  plant("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // its "no limit"
  plant_bytes("/sys/fs/cgroup/memory/pod/memory.limit_in_bytes", 8 * gib);
  plant_bytes("/sys/fs/cgroup/memory/pod/memory.usage_in_bytes", 7 * gib);
  plant("/sys/fs/cgroup/memory/pod/memory.stat",
        "inactive_file 5\ntotal_inactive_file 4294967296\ntotal_active_file 1073741824\n");
  plant("/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us", "250000\n");
  plant("/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
  plant("/sys/fs/cgroup/cpu,cpuacct/pod/box/cpu.cfs_quota_us", "-1\n");
  plant("/sys/fs/cgroup/cpu,cpuacct/pod/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(total_memory(root_), 8 * gib);
  EXPECT_EQ(available_memory(root_), 6 * gib);
  EXPECT_EQ(core_quota(root_), 2.5);
}

TEST_F(System, AFullGroupHasNothingLeftAndASilentSystemIsUnknown) {
  mount_v2("/");
  plant_bytes("/sys/fs/cgroup/memory.max", gib);
  plant_bytes("/sys/fs/cgroup/memory.current", gib + 4096);
  EXPECT_EQ(available_memory(root_), 0u);
  plant("/proc/meminfo", "");
  EXPECT_FALSE(available_memory(root_));
}

TEST_F(System, NonsenseLimitsNothing) {
  mount_v2("/../../elsewhere");
  plant("/sys/fs/cgroup/memory.max", "");
  plant("/sys/fs/cgroup/cpu.max", "0 0\n");
  EXPECT_EQ(total_memory(root_), 64 * gib);
  EXPECT_FALSE(core_quota(root_));
  EXPECT_GE(available_cores(root_), 1);
}

// As a virtual machine on one eighth of an EPYC sees it: the C library's figure is that of all of it.
TEST_F(System, CachesAreThoseThatACoreReaches) {
  const std::string caches = "/sys/devices/system/cpu/cpu0/cache/index";
  const auto plant_cache = [&](int index, int level, const std::string& type, const std::string& size) {
    const std::string folder = caches + std::to_string(index) + "/";
    plant(folder + "level", std::to_string(level) + "\n");
    plant(folder + "type", type + "\n");
    plant(folder + "size", size + "\n");
  };
  EXPECT_EQ(last_level_cache(root_), 0u);
  plant_cache(0, 1, "Instruction", "64K");
  plant_cache(1, 1, "Data", "32K");
  plant_cache(2, 2, "Unified", "512K");
  EXPECT_EQ(last_level_cache(root_), 512u << 10);
  plant_cache(3, 3, "Unified", "32768K");
  EXPECT_EQ(cache_size(1, root_), 32u << 10);
  EXPECT_EQ(cache_size(2, root_), 512u << 10);
  EXPECT_EQ(cache_size(3, root_), 32u << 20);
  EXPECT_EQ(cache_size(4, root_), 0u);
  EXPECT_EQ(last_level_cache(root_), 32u << 20);
}

TEST(SystemHere, SaysSomething) {
  EXPECT_GT(total_memory(), 0u);
  ASSERT_TRUE(available_memory());
  EXPECT_LE(*available_memory(), total_memory());
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), online_cores());
}

}  // namespace
}  // namespace trine
