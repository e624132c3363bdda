#pragma once

#include "backend/registry.h"
#include "contract/judge/result.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace trine::contract {

// What a check judges. Checks that need no model leave model_path alone; checks that depend on no backend
// leave backend alone.
struct CheckContext {
  std::string model_path;   // a GGUF file
  std::string backend;      // "reference", "cpu", "cuda", "wgpu"; empty for checks that depend on none
  int threads = 0;          // 0: default_threads()
  std::string device = {};  // of that backend; empty: its best
  std::vector<std::string> without = {};  // of its variants
  // Loads a lab's model instead of the backend of that name: tests hand in a device with a planted fault.
  std::function<Result<std::unique_ptr<model::DeviceModel>>(const model::Weights&, const model::LoadOptions&)>
      load = {};
};

struct Check {
  std::string name;         // "router.ties": what a contract's `check:` says
  std::string description;  // one sentence: what it does, and what makes it fail
  std::function<CheckResult(const CheckContext&)> run;
};

// Checks by name. Contracts refer to them by name only, so the folder of contracts and the program can be
// held against each other.
class CheckRegistry {
 public:
  // Takes the place of a check of the same name.
  void add(Check check);
  // A name that contracts may use although this program, or this part of it, cannot run it: not-run, with
  // `reason`.
  void add_absent(std::string name, std::string description, std::string reason);
  const Check* find(std::string_view name) const;
  const std::map<std::string, Check, std::less<>>& all() const { return checks_; }

 private:
  std::map<std::string, Check, std::less<>> checks_;
};

// Every check this folder can run, and the names of those that folders further down run:
//   router.*, dispatch.*, swiglu.*     router.cpp, dispatch.cpp, swiglu.cpp
//   tensors.*                          tensors.cpp
//   gate.*, trace.*                    gate.cpp: gate.reference-vs-transformers, gate.exact-parity,
//                                      gate.fast-parity, gate.decode-vs-prefill, gate.determinism,
//                                      gate.per-layer, gate.invariants, gate.memory, gate.throughput,
//                                      gate.preload, trace.production-unchanged, trace.stage-names
//   sampling.*                         sampling.cpp
//   sse.*, serve.*                     need a server; whoever links one adds them
CheckRegistry builtin_checks();

void register_sampling_checks(CheckRegistry& registry);
void register_router_checks(CheckRegistry& registry);
void register_dispatch_checks(CheckRegistry& registry);
void register_swiglu_checks(CheckRegistry& registry);
void register_tensor_checks(CheckRegistry& registry);
void register_gate_checks(CheckRegistry& registry);

}  // namespace trine::contract
