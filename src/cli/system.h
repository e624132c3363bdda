#pragma once

#include "base/error.h"

#include <cstdint>
#include <span>
#include <string>

namespace trine::cli {

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
