#include "cli/system.h"

#include "base/check.h"
#include "base/file.h"
#include "base/thread_pool.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

namespace trine::cli {
namespace {

// The text after "name<spaces>:" in a /proc file, or empty.
std::string proc_field(const char* path, std::string_view name) {
  const auto text = read_file(path);
  if (!text) return {};
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !line.starts_with(name)) continue;
    if (line.substr(name.size(), colon - name.size()).find_first_not_of(" \t") != std::string_view::npos)
      continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string_view::npos ? std::string() : std::string(line.substr(begin));
  }
  return {};
}

std::uint64_t leading_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::uint64_t memory_field(std::string_view name) {
  return leading_number(proc_field("/proc/meminfo", name)) * 1024;
}

std::uint64_t cache_bytes(int name) {
  const long bytes = ::sysconf(name);
  return bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

}  // namespace

std::string cpu_name() {
  return proc_field("/proc/cpuinfo", "model name");
}

int online_cores() {
  return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
}

std::uint64_t total_memory() {
  const std::uint64_t machine = memory_field("MemTotal");
  const auto limit = read_file("/sys/fs/cgroup/memory.max");  // "max" (which reads as 0) or bytes
  const std::uint64_t group = limit ? leading_number(*limit) : 0;
  return group > 0 ? std::min(machine, group) : machine;
}

std::uint64_t available_memory() {
  return std::min(memory_field("MemAvailable"), total_memory());
}

std::uint64_t last_level_cache() {
  return std::max({cache_bytes(_SC_LEVEL3_CACHE_SIZE), cache_bytes(_SC_LEVEL2_CACHE_SIZE),
                   cache_bytes(_SC_LEVEL4_CACHE_SIZE)});
}

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

Bandwidth measure_bandwidth(int threads) {
  constexpr std::int64_t grain = 1 << 16;  // words: 512 KiB a piece, so that the pool's own cost vanishes
  ThreadPool pool(threads);
  Bandwidth result;
  result.threads = pool.size();
  result.passes = 5;
  // Four times the cache, so that little of one pass survives to the next; bounded for small machines.
  const std::uint64_t wanted = std::max<std::uint64_t>(256ull << 20, 4 * last_level_cache());
  result.buffer_bytes =
      std::min(wanted, std::max<std::uint64_t>(available_memory() / 4, 16ull << 20)) & ~7ull;
  const auto words = static_cast<std::int64_t>(result.buffer_bytes / 8);
  const std::unique_ptr<std::uint64_t[]> buffer(new std::uint64_t[static_cast<std::size_t>(words)]);
  pool.parallel_for(words, grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i)
      buffer[static_cast<std::size_t>(i)] = static_cast<std::uint64_t>(i);
  });

  std::atomic<std::uint64_t> total{0};
  for (int pass = 0; pass < result.passes; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(words, grain, [&](std::int64_t begin, std::int64_t end, int) {
      std::uint64_t sum = 0;
      for (std::int64_t i = begin; i < end; ++i) sum += buffer[static_cast<std::size_t>(i)];
      total += sum;  // the sums are used, so the reads cannot be dropped
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
