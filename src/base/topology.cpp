#include "base/topology.h"

#include "base/affinity.h"
#include "base/file.h"
#include "base/system.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

namespace trine {
namespace {

// Of the machine's strongest core. Efficiency cores are at most 0.78 of one (Intel), those that the others of
// a kind are preferred to at least 0.9, and an Arm processor's second tier about 0.85.
constexpr double efficiency_below = 0.8;

std::string contents(const std::string& path) {
  return read_file(path).value_or(std::string());
}

std::vector<int> cpu_list_in(const std::string& path) {
  return parse_cpu_list(contents(path));
}

bool contains(const std::vector<int>& sorted, int value) {
  return std::binary_search(sorted.begin(), sorted.end(), value);
}

std::string cpu_folder(const std::string& root, int thread) {
  return fmt::format("{}/sys/devices/system/cpu/cpu{}/", root, thread);
}

// A number of every thread, when all have one.
std::optional<std::vector<double>> strengths(const std::string& root, const std::vector<int>& threads,
                                             const char* file) {
  std::vector<double> values;
  for (const int thread : threads) {
    const std::string text = contents(cpu_folder(root, thread) + file);
    double value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc{} || !(value > 0)) return std::nullopt;
    values.push_back(value);
  }
  return values;
}

// The threads of efficiency cores, ascending. Of all that are online, as a process that may use no other core
// is not on performance cores for that.
std::vector<int> efficiency_threads(const std::string& root) {
  // Intel's hybrid processors name them.
  if (!cpu_list_in(root + "/sys/devices/cpu_core/cpus").empty()) {
    std::vector<int> threads = cpu_list_in(root + "/sys/devices/cpu_atom/cpus");
    const std::vector<int> low_power = cpu_list_in(root + "/sys/devices/cpu_lowpower/cpus");
    threads.insert(threads.end(), low_power.begin(), low_power.end());
    std::sort(threads.begin(), threads.end());
    return threads;
  }
  const std::vector<int> online = cpu_list_in(root + "/sys/devices/system/cpu/online");
  auto strength = strengths(root, online, "cpu_capacity");
  if (!strength) strength = strengths(root, online, "cpufreq/cpuinfo_max_freq");
  std::vector<int> threads;
  if (!strength || strength->empty()) return threads;
  const double most = *std::max_element(strength->begin(), strength->end());
  for (std::size_t i = 0; i < online.size(); ++i)
    if ((*strength)[i] < efficiency_below * most) threads.push_back(online[i]);
  return threads;
}

// The threads of each node.
std::vector<std::pair<int, std::vector<int>>> node_threads(const std::string& root) {
  const std::string folder = root + "/sys/devices/system/node/";
  std::vector<std::pair<int, std::vector<int>>> nodes;
  for (const int node : cpu_list_in(folder + "online"))
    nodes.emplace_back(node, cpu_list_in(fmt::format("{}node{}/cpulist", folder, node)));
  return nodes;
}

std::vector<int> siblings_of(const std::string& root, int thread) {
  const std::string folder = cpu_folder(root, thread) + "topology/";
  std::vector<int> siblings = cpu_list_in(folder + "thread_siblings_list");
  if (siblings.empty()) siblings = cpu_list_in(folder + "core_cpus_list");  // its newer name
  return siblings;
}

}  // namespace

std::string_view name_of(CoreKind kind) {
  return kind == CoreKind::performance ? "performance" : "efficiency";
}

int Topology::threads() const {
  std::size_t count = 0;
  for (const Core& core : cores) count += core.threads.size();
  return static_cast<int>(count);
}

int Topology::cores_of(CoreKind kind) const {
  return static_cast<int>(
      std::count_if(cores.begin(), cores.end(), [&](const Core& core) { return core.kind == kind; }));
}

std::vector<int> Topology::nodes() const {
  std::vector<int> nodes;
  for (const Core& core : cores) nodes.push_back(core.node);
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

Topology read_topology(const std::vector<int>& allowed, const std::string& root) {
  const std::vector<int> efficient = efficiency_threads(root);
  const auto nodes = node_threads(root);
  Topology topology;
  std::vector<int> placed;
  std::vector<int> sorted = allowed;
  std::sort(sorted.begin(), sorted.end());
  for (const int thread : sorted) {
    if (std::find(placed.begin(), placed.end(), thread) != placed.end()) continue;
    Core core;
    for (const int sibling : siblings_of(root, thread))
      if (contains(sorted, sibling)) core.threads.push_back(sibling);
    if (std::find(core.threads.begin(), core.threads.end(), thread) == core.threads.end())
      core.threads = {thread};
    placed.insert(placed.end(), core.threads.begin(), core.threads.end());
    if (contains(efficient, thread)) core.kind = CoreKind::efficiency;
    for (const auto& [node, its_threads] : nodes)
      if (contains(its_threads, thread)) core.node = node;
    topology.cores.push_back(std::move(core));
  }
  return topology;
}

int default_threads(const Topology& topology, const std::string& root) {
  const auto cores = static_cast<double>(topology.cores.size());
  return std::max(1, static_cast<int>(std::min(cores, std::ceil(core_quota(root).value_or(cores)))));
}

int default_threads() {
  return default_threads(read_topology(allowed_threads()));
}

std::vector<int> binding_order(const Topology& topology) {
  std::size_t most = 0;
  for (const Core& core : topology.cores) most = std::max(most, core.threads.size());
  std::vector<int> order;
  for (std::size_t sibling = 0; sibling < most; ++sibling) {
    for (const CoreKind kind : {CoreKind::performance, CoreKind::efficiency}) {
      // The first core of each node, then the second of each.
      std::vector<std::pair<std::size_t, int>> ranked;
      std::map<int, std::size_t> cores_on;
      for (const Core& core : topology.cores)
        if (core.kind == kind && core.threads.size() > sibling)
          ranked.emplace_back(cores_on[core.node]++, core.threads[sibling]);
      std::stable_sort(ranked.begin(), ranked.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      for (const auto& [rank, thread] : ranked) order.push_back(thread);
    }
  }
  return order;
}

std::vector<int> parse_cpu_list(std::string_view text) {
  constexpr int most = 1 << 16;  // a range of nonsense must not fill the memory
  std::vector<int> values;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (true) {
    int first = 0;
    auto read = std::from_chars(at, end, first);
    if (read.ec != std::errc{} || first < 0) break;
    int last = first;
    if (read.ptr != end && *read.ptr == '-') {
      read = std::from_chars(read.ptr + 1, end, last);
      if (read.ec != std::errc{}) break;
    }
    for (int value = first; value <= last && value < most; ++value) values.push_back(value);
    if (read.ptr == end || *read.ptr != ',') break;
    at = read.ptr + 1;
  }
  return values;
}

}  // namespace trine
