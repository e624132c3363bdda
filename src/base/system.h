#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace trine {

// What Linux says of the machine, and of the control groups that this process runs in: a container with 8 GiB
// of a 64 GiB host has 8 GiB. Both versions of control groups are read, from the process's own group up to
// the outermost that can be seen; the tightest limit holds. `root` is where /proc and /sys are looked for: ""
// is the machine itself.

// Bytes of memory. 0 when the system does not say.
std::uint64_t total_memory(const std::string& root = {});
// Bytes that can be had without swapping. Cached files count as free, a mapped model among them: the kernel
// drops them when memory is asked for. Empty when the system does not say; 0 when nothing is left.
std::optional<std::uint64_t> available_memory(const std::string& root = {});

// Cores that this process may keep busy, hyper-threads as cores of their own: those it may run on (affinity,
// cpuset), or as many as its share of time fills, rounded up, when that is less. At least 1.
int available_cores(const std::string& root = {});
// The share of time alone, in cores: 1.5. Empty: no limit.
std::optional<double> core_quota(const std::string& root = {});
// Of the machine, whatever this process may use.
int online_cores();

// The processor's own name, as /proc/cpuinfo has it, or "unknown processor".
std::string processor_name(const std::string& root = {});
// Bytes of the cache of a level (from 1) that the first core has or shares, of data: 0 when there is none, or
// none is known. Linux says so; where it does not, the C library's figure counts, which for some processors
// is the sum over all cores.
std::uint64_t cache_size(int level, const std::string& root = {});
// That of the last level.
std::uint64_t last_level_cache(const std::string& root = {});

}  // namespace trine
