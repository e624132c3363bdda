#pragma once

#include <cstddef>
#include <vector>

namespace trine {

// Memory that lies on several NUMA nodes, page by page in turn, so that threads everywhere read from all of
// them at once instead of from the one whose thread touched it first. Where the system does not do that (one
// node, a container that forbids it), nothing changes.

// Whether this thread was started with a policy of its own, as by numactl, which is then the user's word.
bool has_memory_policy();

// Pages of a block of memory that nobody has touched yet will come from these nodes in turn. False where they
// will not.
bool interleave_pages(void* memory, std::size_t bytes, const std::vector<int>& nodes);

// While it lives, pages that the calling thread is the first to touch come from these nodes in turn, those of
// files that it reads from disk too. Empty: no change. On a thread without a policy of its own.
class InterleavedHere {
 public:
  explicit InterleavedHere(const std::vector<int>& nodes);
  ~InterleavedHere();
  InterleavedHere(const InterleavedHere&) = delete;
  InterleavedHere& operator=(const InterleavedHere&) = delete;

  bool works() const { return works_; }

 private:
  bool works_ = false;
};

}  // namespace trine
