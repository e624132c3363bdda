#include "base/node_memory.h"
#include "base/affinity.h"
#include "base/topology.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

namespace trine {
namespace {

constexpr std::size_t block_bytes = 1 << 20;

struct Unmap {
  void operator()(void* memory) const { ::munmap(memory, block_bytes); }
};

std::unique_ptr<void, Unmap> block() {
  void* const memory =
      ::mmap(nullptr, block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(memory, MAP_FAILED);
  return std::unique_ptr<void, Unmap>(memory);
}

// What the kernel says of a page's policy.
int policy_of(const void* memory) {
  int mode = -1;
  if (::syscall(SYS_get_mempolicy, &mode, nullptr, 0ul, memory, static_cast<unsigned long>(MPOL_F_ADDR)) != 0)
    return -1;
  return mode;
}

bool has_policies() {
  return policy_of(block().get()) == MPOL_DEFAULT;
}

TEST(NodeMemory, WholePagesOfABlockAreInterleaved) {
  if (!has_policies()) GTEST_SKIP() << "this kernel tells no memory policies";
  const std::vector<int> nodes = read_topology(allowed_threads()).nodes();
  const auto memory = block();
  auto* const bytes = static_cast<std::byte*>(memory.get());
  EXPECT_FALSE(interleave_pages(bytes + 1, 100, nodes)) << "no whole page";
  EXPECT_FALSE(interleave_pages(bytes, block_bytes, {})) << "no node";
  EXPECT_EQ(policy_of(bytes), MPOL_DEFAULT);
  EXPECT_TRUE(interleave_pages(bytes + 1, block_bytes - 1, nodes));
  EXPECT_EQ(policy_of(bytes), MPOL_DEFAULT) << "the first page is not the caller's alone";
  EXPECT_EQ(policy_of(bytes + block_bytes / 2), MPOL_INTERLEAVE);
  std::memset(bytes, 1, block_bytes);
}

TEST(NodeMemory, ANodeThatIsNotThereChangesNothing) {
  const auto memory = block();
  EXPECT_FALSE(interleave_pages(memory.get(), block_bytes, {1000}));
  EXPECT_FALSE(InterleavedHere({1000}).works());
  std::memset(memory.get(), 1, block_bytes);
}

TEST(NodeMemory, AThreadsPolicyEndsWithItsScope) {
  if (!has_policies()) GTEST_SKIP() << "this kernel tells no memory policies";
  if (has_memory_policy()) GTEST_SKIP() << "this test was started with a memory policy";
  {
    const InterleavedHere none({});
    EXPECT_FALSE(none.works());
    EXPECT_FALSE(has_memory_policy());
    const InterleavedHere here(read_topology(allowed_threads()).nodes());
    EXPECT_TRUE(here.works());
    EXPECT_TRUE(has_memory_policy());
  }
  EXPECT_FALSE(has_memory_policy());
}

// As containers do: these calls, and nothing else, fail with EPERM.
bool forbid_policies() {
  constexpr auto forbid = [](unsigned number) {
    return std::pair<sock_filter, sock_filter>{BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
                                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)};
  };
  const auto [is_mbind, refuse_mbind] = forbid(SYS_mbind);
  const auto [is_set, refuse_set] = forbid(SYS_set_mempolicy);
  const auto [is_get, refuse_get] = forbid(SYS_get_mempolicy);
  sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          is_mbind,
                          refuse_mbind,
                          is_set,
                          refuse_set,
                          is_get,
                          refuse_get,
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program = {.len = std::size(filter), .filter = filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(NodeMemoryDeathTest, WhereItIsForbiddenNothingHappens) {
  const auto try_all = [] {
    if (!forbid_policies()) ::_exit(2);
    const auto memory = block();
    const bool nothing = !has_memory_policy() && !interleave_pages(memory.get(), block_bytes, {0}) &&
                         !InterleavedHere({0}).works();
    std::memset(memory.get(), 1, block_bytes);
    ::_exit(nothing ? 0 : 1);
  };
  EXPECT_EXIT(try_all(), testing::ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace trine
