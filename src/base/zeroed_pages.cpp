#include "base/zeroed_pages.h"

#include <sys/mman.h>

namespace trine {

void ZeroedPages::Unmap::operator()(std::byte* memory) const {
  munmap(memory, bytes);
}

ZeroedPages ZeroedPages::map(std::size_t bytes) {
  ZeroedPages pages;
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return pages;
  pages.memory_ = std::unique_ptr<std::byte[], Unmap>(static_cast<std::byte*>(memory), Unmap{bytes});
  return pages;
}

void ZeroedPages::prefer_huge() {
#ifdef MADV_HUGEPAGE
  if (memory_) madvise(memory_.get(), bytes().size(), MADV_HUGEPAGE);
#endif
}

}  // namespace trine
