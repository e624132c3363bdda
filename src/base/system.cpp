#include "base/system.h"

#include "base/affinity.h"
#include "base/file.h"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <vector>

namespace trine {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

std::string text_of(const std::string& path) {
  return read_file(path).value_or(std::string());
}

// Calls visit(part) for every part between separators; those that are empty too.
template <typename Visit>
void for_each_part(std::string_view text, char separator, Visit visit) {
  while (true) {
    const std::size_t end = text.find(separator);
    visit(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for_each_part(line, ' ', [&](std::string_view word) { words.push_back(word); });
  return words;
}

bool has_part(std::string_view list, std::string_view wanted) {
  bool found = false;
  for_each_part(list, ',', [&](std::string_view part) { found = found || part == wanted; });
  return found;
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{}) return std::nullopt;
  return value;
}

// The number a file of a control group begins with. Empty: no such file, or "max" or -1, which are no limit.
std::optional<std::uint64_t> number_in(const std::string& path) {
  return leading_number(text_of(path));
}

// The text after "name<spaces>:" in a /proc file, or empty.
std::string proc_field(const std::string& path, std::string_view name) {
  const std::string text = text_of(path);
  std::string value;
  for_each_part(text, '\n', [&](std::string_view line) {
    const std::size_t colon = line.find(':');
    if (!value.empty() || colon == std::string_view::npos || !line.starts_with(name)) return;
    if (line.substr(name.size(), colon - name.size()).find_first_not_of(" \t") != std::string_view::npos)
      return;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string_view::npos) value = line.substr(begin);
  });
  return value;
}

// Bytes; stated in kB.
std::optional<std::uint64_t> memory_field(const std::string& root, std::string_view name) {
  const auto kib = leading_number(proc_field(root + "/proc/meminfo", name));
  return kib ? std::optional(*kib * 1024) : std::nullopt;
}

// The sum of some "name bytes" lines of a group's memory.stat.
std::uint64_t stat_sum(const std::string& path, std::initializer_list<std::string_view> names) {
  const std::string text = text_of(path);
  std::uint64_t sum = 0;
  for_each_part(text, '\n', [&](std::string_view line) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return;
    if (std::find(names.begin(), names.end(), line.substr(0, space)) != names.end())
      sum += leading_number(line.substr(space + 1)).value_or(0);
  });
  return sum;
}

// Where a hierarchy of control groups is seen: its outermost group that is mounted, and this process's place
// below it.
struct Hierarchy {
  std::string mount;  // a folder
  std::string place;  // "" or "/a/b"
};

// This process's group: of version 2 for an empty controller, else of the version 1 hierarchy that has it.
std::optional<std::string> group_of(const std::string& root, std::string_view controller) {
  const std::string text = text_of(root + "/proc/self/cgroup");
  std::optional<std::string> group;
  for_each_part(text, '\n', [&](std::string_view line) {  // "4:cpu,cpuacct:/a/b"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) return;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : has_part(controllers, controller))
      group = std::string(line.substr(second + 1));
  });
  return group;
}

std::optional<Hierarchy> find_hierarchy(const std::string& root, std::string_view controller) {
  const std::optional<std::string> group = group_of(root, controller);
  if (!group) return std::nullopt;
  const std::string text = text_of(root + "/proc/self/mountinfo");
  std::optional<Hierarchy> found;
  for_each_part(text, '\n', [&](std::string_view line) {
    // "31 23 0:28 ROOT MOUNT options… - TYPE source superoptions"
    const std::vector<std::string_view> words = words_of(line);
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (found || words.size() < 5 || words.end() - dash < 4) return;
    const bool is_it =
        controller.empty() ? dash[1] == "cgroup2" : dash[1] == "cgroup" && has_part(dash[3], controller);
    if (!is_it) return;
    // A container may see its own group as the root of what is mounted, under the name that the host gave it.
    const std::string_view top = words[3] == "/" ? std::string_view() : words[3];
    std::string place = *group;
    if (place.starts_with(top)) place.erase(0, top.size());
    if (place == "/" || place.find("/..") != std::string::npos || (!place.empty() && place.front() != '/'))
      place.clear();
    found = Hierarchy{root + std::string(words[4]), std::move(place)};
  });
  return found;
}

// Calls visit(folder) for this process's group and every group around it that can be seen.
template <typename Visit>
void for_each_group(const std::string& root, std::string_view controller, Visit visit) {
  std::optional<Hierarchy> hierarchy = find_hierarchy(root, controller);
  if (!hierarchy) return;
  std::string& place = hierarchy->place;
  while (true) {
    visit(hierarchy->mount + place);
    if (place.empty()) return;
    place.erase(place.rfind('/'));
  }
}

struct Memory {
  std::uint64_t total = unlimited;
  std::uint64_t available = unlimited;

  void limit(std::uint64_t bytes, std::uint64_t used, std::uint64_t cached) {
    const std::uint64_t kept = used - std::min(used, cached);
    total = std::min(total, bytes);
    available = std::min(available, bytes - std::min(bytes, kept));
  }
};

// What the groups leave. Files in the page cache are in a group's usage and not in the way, on either list of
// the kernel's; memory.stat has files alone on these, shared memory is on the others.
Memory group_memory(const std::string& root) {
  Memory memory;
  for_each_group(root, "", [&](const std::string& group) {
    // Past memory.high a process is slowed until it stands still, so it is a limit as well.
    const std::uint64_t limit = std::min(number_in(group + "/memory.max").value_or(unlimited),
                                         number_in(group + "/memory.high").value_or(unlimited));
    if (limit == unlimited) return;
    memory.limit(limit, number_in(group + "/memory.current").value_or(0),
                 stat_sum(group + "/memory.stat", {"inactive_file", "active_file", "slab_reclaimable"}));
  });
  for_each_group(root, "memory", [&](const std::string& group) {
    const auto limit = number_in(group + "/memory.limit_in_bytes");
    if (!limit) return;
    memory.limit(*limit, number_in(group + "/memory.usage_in_bytes").value_or(0),
                 stat_sum(group + "/memory.stat", {"total_inactive_file", "total_active_file"}));
  });
  return memory;
}

// "32768K", "32M", "512".
std::uint64_t bytes_in(std::string_view text) {
  const std::uint64_t number = leading_number(text).value_or(0);
  const std::size_t unit = text.find_first_not_of("0123456789");
  if (unit == std::string_view::npos) return number;
  return text[unit] == 'K' ? number << 10 : text[unit] == 'M' ? number << 20 : number;
}

constexpr int cache_levels = 4;

std::uint64_t library_cache_size(int level) {
  constexpr int names[cache_levels] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE,
                                       _SC_LEVEL4_CACHE_SIZE};
  const long bytes = ::sysconf(names[level - 1]);
  return bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

}  // namespace

std::uint64_t total_memory(const std::string& root) {
  return std::min(memory_field(root, "MemTotal").value_or(0), group_memory(root).total);
}

std::optional<std::uint64_t> available_memory(const std::string& root) {
  const std::optional<std::uint64_t> machine = memory_field(root, "MemAvailable");
  if (!machine) return std::nullopt;
  return std::min(*machine, group_memory(root).available);
}

std::optional<double> core_quota(const std::string& root) {
  std::optional<double> cores;
  const auto limit = [&](std::optional<std::uint64_t> quota, std::optional<std::uint64_t> period) {
    if (!quota || !period || *quota == 0 || *period == 0) return;
    const double share = static_cast<double>(*quota) / static_cast<double>(*period);
    cores = std::min(cores.value_or(share), share);
  };
  for_each_group(root, "", [&](const std::string& group) {
    const std::string text = text_of(group + "/cpu.max");  // "150000 100000" or "max 100000"
    const std::size_t space = text.find(' ');
    if (space != std::string::npos) limit(leading_number(text), leading_number(text.substr(space + 1)));
  });
  for_each_group(root, "cpu", [&](const std::string& group) {
    limit(number_in(group + "/cpu.cfs_quota_us"), number_in(group + "/cpu.cfs_period_us"));
  });
  return cores;
}

int available_cores(const std::string& root) {
  const auto allowed = static_cast<int>(allowed_threads().size());
  const double quota = std::ceil(core_quota(root).value_or(allowed));
  return std::max(1, static_cast<int>(std::min<double>(allowed, quota)));
}

int online_cores() {
  return static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

std::string processor_name(const std::string& root) {
  for (const char* key : {"model name", "Model", "cpu model"}) {
    if (std::string name = proc_field(root + "/proc/cpuinfo", key); !name.empty()) return name;
  }
  return "unknown processor";
}

std::uint64_t cache_size(int level, const std::string& root) {
  bool told = false;
  for (int index = 0;; ++index) {
    const std::string folder = fmt::format("{}/sys/devices/system/cpu/cpu0/cache/index{}/", root, index);
    const std::optional<std::uint64_t> its_level = number_in(folder + "level");
    if (!its_level) break;
    told = true;
    if (*its_level == static_cast<std::uint64_t>(level) &&
        !text_of(folder + "type").starts_with("Instruction"))
      return bytes_in(text_of(folder + "size"));
  }
  return told || level > cache_levels || !root.empty() ? 0 : library_cache_size(level);
}

std::uint64_t last_level_cache(const std::string& root) {
  for (int level = cache_levels; level > 0; --level)
    if (const std::uint64_t bytes = cache_size(level, root); bytes > 0) return bytes;
  return 0;
}

}  // namespace trine
