#include "base/populate.h"

#include "base/node_memory.h"

#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>

// Of Linux 5.14, which the headers of older systems lack.
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace trine {
namespace {

// Long enough for the disk, short enough to share out.
constexpr std::size_t piece_bytes = std::size_t{4} << 20;

// Linux' fault_around_bytes, unless somebody has set it: aligned blocks that a fault maps.
constexpr std::size_t surroundings = std::size_t{64} << 10;

struct Pages {
  std::byte* begin = nullptr;
  std::size_t bytes = 0;
  std::size_t page = 0;
};

// The whole pages that these bytes lie in.
Pages pages_of(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data()) & ~(page - 1);
  const auto end = (reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.size() + page - 1) & ~(page - 1);
  return {reinterpret_cast<std::byte*>(begin), end - begin, page};
}

// Judged by the last page, which is read last. Where the kernel does not tell, it says yes.
bool is_cached(const Pages& pages) {
  unsigned char resident = 1;
  ::mincore(pages.begin + pages.bytes - pages.page, pages.page, &resident);
  return (resident & 1) != 0;
}

// The disk gets one large request instead of one for each page that is not there.
void read_ahead(std::span<const std::byte> bytes) {
  const Pages pages = pages_of(bytes);
  if (!is_cached(pages)) ::madvise(pages.begin, pages.bytes, MADV_WILLNEED);
}

// A signal leaves the rest of a piece to whoever touches it.
bool populate_some(std::byte* begin, std::size_t bytes) {
  return ::madvise(begin, bytes, MADV_POPULATE_READ) == 0 || errno == EINTR;
}

bool populate_piece(std::span<const std::byte> bytes) {
  const Pages pages = pages_of(bytes);
  if (!is_cached(pages)) return populate_some(pages.begin, pages.bytes);
  // The fault of one page maps those of its surroundings that are in the cache; to ask for each of them takes
  // twice the time.
  for (std::size_t at = 0; at < pages.bytes; at += surroundings)
    if (!populate_some(pages.begin + at, pages.page)) return false;
  return populate_some(pages.begin + pages.bytes - pages.page, pages.page);
}

}  // namespace

bool populate_pages(const std::vector<std::span<const std::byte>>& ranges, const std::vector<int>& nodes,
                    ThreadPool& pool) {
  std::vector<std::span<const std::byte>> pieces;
  for (std::span<const std::byte> rest : ranges) {
    while (!rest.empty()) {
      pieces.push_back(rest.first(std::min(rest.size(), piece_bytes)));
      rest = rest.subspan(pieces.back().size());
    }
  }
  std::atomic<bool> works{true};
  const auto ahead = static_cast<std::size_t>(pool.size());
  const auto populate = [&](std::size_t i) {
    const InterleavedHere interleaved(nodes);
    read_ahead(pieces[i]);
    if (i + ahead < pieces.size()) read_ahead(pieces[i + ahead]);
    if (!populate_piece(pieces[i])) works = false;
  };
  // One after the other, so that what is read from disk is read in order.
  pool.parallel_for(static_cast<std::int64_t>(pieces.size()), 1,
                    [&](std::int64_t begin, std::int64_t end, int) {
                      for (std::int64_t i = begin; i < end && works; ++i)
                        populate(static_cast<std::size_t>(i));
                    });
  return works;
}

}  // namespace trine
