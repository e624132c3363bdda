#include "base/node_memory.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cstdint>

namespace trine {
namespace {

// The system calls themselves: libnuma, which wraps them, is not everywhere.

constexpr int word_bits = 8 * static_cast<int>(sizeof(unsigned long));

// One bit a node.
struct NodeMask {
  explicit NodeMask(const std::vector<int>& nodes) {
    for (const int node : nodes) {
      const auto word = static_cast<std::size_t>(node / word_bits);
      if (words.size() <= word) words.resize(word + 1);
      words[word] |= 1ul << (node % word_bits);
    }
  }
  // As the kernel counts them: it takes one off.
  unsigned long bits() const { return words.size() * word_bits + 1; }

  std::vector<unsigned long> words;
};

}  // namespace

bool has_memory_policy() {
  int mode = MPOL_DEFAULT;
  return ::syscall(SYS_get_mempolicy, &mode, nullptr, 0ul, nullptr, 0ul) == 0 && mode != MPOL_DEFAULT;
}

bool interleave_pages(void* memory, std::size_t bytes, const std::vector<int>& nodes) {
  if (nodes.empty()) return false;
  // Whole pages within the block: the others hold something else as well.
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t begin = (at + page - 1) & ~(page - 1);
  const std::uintptr_t end = (at + bytes) & ~(page - 1);
  if (begin >= end) return false;
  const NodeMask mask(nodes);
  return ::syscall(SYS_mbind, begin, end - begin, MPOL_INTERLEAVE, mask.words.data(), mask.bits(), 0u) == 0;
}

InterleavedHere::InterleavedHere(const std::vector<int>& nodes) {
  if (nodes.empty()) return;
  const NodeMask mask(nodes);
  works_ = ::syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, mask.words.data(), mask.bits()) == 0;
}

InterleavedHere::~InterleavedHere() {
  if (works_) ::syscall(SYS_set_mempolicy, MPOL_DEFAULT, nullptr, 0ul);
}

}  // namespace trine
