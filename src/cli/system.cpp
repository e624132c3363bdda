#include "cli/system.h"

#include "base/check.h"
#include "base/file.h"
#include "base/system.h"
#include "base/thread_pool.h"

#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

namespace trine::cli {
Result<std::uint64_t> resident_bytes(const std::string& path) {
  TRINE_TRY(const MappedFile file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.empty()) return 0;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes.size() + page - 1) / page);
  if (::mincore(const_cast<std::byte*>(bytes.data()), bytes.size(), pages.data()) != 0) {
    return fail({.code = ErrorCode::io,
                 .what = "cannot ask which pages are in memory",
                 .where = path,
                 .actual = std::strerror(errno)});
  }
  const auto resident =
      std::count_if(pages.begin(), pages.end(), [](unsigned char bits) { return (bits & 1) != 0; });
  return std::min<std::uint64_t>(static_cast<std::uint64_t>(resident) * page, bytes.size());
}

namespace {

// As fast as memory gives them: eight sums that do not wait for each other, a line of the cache a round,
// asked for as far ahead as the kernels ask for weights.
std::uint64_t sum_of(std::span<const std::uint64_t> words) {
  constexpr std::size_t line = 8, ahead = 8192 / sizeof(std::uint64_t);
  std::uint64_t sums[line] = {};
  std::size_t i = 0;
  for (; i + line <= words.size(); i += line) {
    __builtin_prefetch(words.data() + i + ahead, 0, 2);
    for (std::size_t k = 0; k < line; ++k) sums[k] += words[i + k];
  }
  std::uint64_t sum = 0;
  for (; i < words.size(); ++i) sum += words[i];
  for (const std::uint64_t one : sums) sum += one;
  return sum;  // which is used, so the reads cannot be dropped
}

}  // namespace

Bandwidth measure_bandwidth(int threads) {
  constexpr std::int64_t grain = 1 << 16;  // words: 512 KiB a piece, so that the pool's own cost vanishes
  ThreadPool pool(threads);
  Bandwidth result;
  result.threads = pool.size();
  result.passes = 5;
  // Four times the cache, so that little of one pass survives to the next; bounded for small machines.
  const std::uint64_t wanted = std::max<std::uint64_t>(256ull << 20, 4 * last_level_cache());
  result.buffer_bytes =
      std::min(wanted, std::max<std::uint64_t>(available_memory().value_or(0) / 4, 16ull << 20)) & ~7ull;
  const auto words = static_cast<std::int64_t>(result.buffer_bytes / 8);
  const std::unique_ptr<std::uint64_t[]> buffer(new std::uint64_t[static_cast<std::size_t>(words)]);
  pool.parallel_ranges(words, grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i)
      buffer[static_cast<std::size_t>(i)] = static_cast<std::uint64_t>(i);
  });

  std::atomic<std::uint64_t> total{0};
  for (int pass = 0; pass < result.passes; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_ranges(words, grain, [&](std::int64_t begin, std::int64_t end, int) {
      total += sum_of({buffer.get() + begin, static_cast<std::size_t>(end - begin)});
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    result.bytes_per_second =
        std::max(result.bytes_per_second, static_cast<double>(result.buffer_bytes) / seconds.count());
  }
  // Wraps around like unsigned sums do; the passes read what the first loop wrote.
  const std::uint64_t n = static_cast<std::uint64_t>(words);
  const std::uint64_t expected =
      (n % 2 == 0 ? n / 2 * (n - 1) : n * ((n - 1) / 2)) * static_cast<std::uint64_t>(result.passes);
  check(total == expected, "the bandwidth test read every word of every pass");
  return result;
}

}  // namespace trine::cli
