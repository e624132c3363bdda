#pragma once

#include "base/error.h"

#include <cstdint>
#include <span>
#include <string>

namespace trine::cli {

// What Linux says of the machine. A value that cannot be read is empty or 0.

std::string cpu_name();            // "model name" of /proc/cpuinfo
int online_cores();                // all, whatever this process's affinity
std::uint64_t total_memory();      // bytes; of the machine, or of this process's cgroup when that is less
std::uint64_t available_memory();  // bytes that can be used without swapping (MemAvailable)
std::uint64_t last_level_cache();  // bytes; of one core's last-level cache

// How many of a file's bytes are in the page cache, found with mincore(2), which does not read the file.
// Errors: those of MappedFile::open, io.
Result<std::uint64_t> resident_bytes(const std::string& path);

// Memory bandwidth, measured: `threads` threads read a buffer of 64-bit words that no cache holds, `passes`
// times.
struct Bandwidth {
  double bytes_per_second = 0;  // the best pass: what follows from it is a limit
  std::uint64_t buffer_bytes = 0;
  int threads = 0;
  int passes = 0;
};
Bandwidth measure_bandwidth(int threads);

}  // namespace trine::cli
