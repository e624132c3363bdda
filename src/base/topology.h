#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trine {

// The machine's processors as Linux numbers them: a hardware thread has a number, a core has one or more of
// them (hyper-threads), and a NUMA node has the memory that its cores reach fastest. `root` is where /sys is
// looked for, as in system.h.

enum class CoreKind { performance, efficiency };
std::string_view name_of(CoreKind kind);

// A core with those of its hardware threads that this process may use, ascending; at least one.
struct Core {
  std::vector<int> threads;
  CoreKind kind = CoreKind::performance;
  int node = 0;
};

struct Topology {
  std::vector<Core> cores;  // that this process may use, by their first threads

  int threads() const;
  int cores_of(CoreKind kind) const;
  std::vector<int> nodes() const;  // those of the cores, ascending
};

// What /sys says of these threads, which affinity.h lists. Where it says nothing, a thread is a core of its
// own, a core is a performance core, and there is one node.
Topology read_topology(const std::vector<int>& allowed, const std::string& root = {});

// How many threads serve best where nobody says: one a core, as the hyper-threads of a core share what matrix
// products use up, and no more than the control group's share of time fills, rounded up. Efficiency cores
// count: a phase of the thread pool does not wait for them, as the others take over what they have not begun.
int default_threads(const Topology& topology, const std::string& root = {});
// The same of this machine.
int default_threads();

// All hardware threads, in the order that threads of a pool are bound to them: one of each core before a
// second one of any, performance before efficiency cores, and the nodes in turn.
std::vector<int> binding_order(const Topology& topology);

// "0-3,8" as Linux writes sets of threads and nodes: 0, 1, 2, 3, 8. What is no such text ends it.
std::vector<int> parse_cpu_list(std::string_view text);

}  // namespace trine
