#pragma once

#include "base/error.h"
#include "contract/gate/runs.h"
#include "contract/judge/legs.h"
#include "contract/judge/prompts.h"
#include "contract/judge/result.h"
#include "model/device_model.h"
#include "model/weights.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trine::contract {

// The gate: one judge for every backend. It runs the reference over the prompts, then the backend in each
// numerics mode, and judges legs X, F, D, T and S; leg R judges the reference itself (goldens.h).

struct ReferenceSide {
  const model::Weights& weights;
  std::string model_sha256;
  const PromptSet& prompts;
};

// Work done, of all there is, in bytes of intermediate results, and what is at work.
using GateProgress = std::function<void(std::uint64_t done, std::uint64_t total, const std::string& what)>;

struct GateOptions {
  std::vector<model::Numerics> numerics = {model::Numerics::exact, model::Numerics::fast};
  int threads = 0;                           // 0: default_threads()
  std::uint64_t trace_bytes = 768ull << 20;  // of the reference's stages held at a time, at least one prompt
  GateProgress progress;                     // may be empty
  bool stop_at_failure = false;              // D, T and S are not run where X or F failed
};

// The file that was judged.
struct FileIdentity {
  std::string path;
  std::string name;  // general.name
  std::string sha256;
  std::uint64_t bytes = 0;
  std::int32_t layers_in_file = 0;
  std::int32_t layers_run = 0;
  bool random_weights = false;  // general.name says so
};

struct PromptIdentity {
  std::string sha256;
  std::size_t count = 0;
  std::int64_t tokens = 0;         // in all
  std::string source;              // "built-in", or the file's name
  std::int64_t longest = 0;        // tokens of the longest: no position from here on was judged
  std::int64_t largest_batch = 0;  // rows that the backend was given at a time
};

// What the reference was held to.
struct GoldenIdentity {
  std::string file;  // its name
  std::string sha256;
  std::string source;  // who computed it, as the file says
  std::size_t cases = 0;
};

struct GateResult {
  FileIdentity model;
  PromptIdentity prompts;
  std::optional<GoldenIdentity> goldens;   // of leg R, where there are some
  std::string reference_sha256;            // of the reference's logits at the judged positions
  std::vector<model::DeviceInfo> devices;  // one per numerics mode that ran
  std::vector<LegResult> legs;             // R, then X, F, D, T, S as far as they were asked for
  std::vector<std::string> left_out;       // what a complete run would have done and this one did not
  Verdict verdict = Verdict::not_run;
  std::string reason;  // set unless `verdict` is pass
  double seconds = 0;

  const LegResult* find(char leg, model::Numerics numerics) const;
};

// Runs X, F, D, T and S. Never fails as a function: whatever stands in the way is a verdict with its reason.
// Refused: sides whose model or prompts differ, a backend compared with itself, a device that is not the one
// claimed (a CPU, or software that says it is a GPU), and, once they have run, a stage of a GPU that ran on
// the host or does not say where, sides that deliver different numbers of rows, a reference whose own result
// is no number.
GateResult run_gate(const ReferenceSide& reference, const BackendSide& backend, const GateOptions& options);

// The verdict over all legs: fail if any failed, else refused if any was, else pass if X or F passed and X, D
// and T ran wherever they are listed, else not-run. Every mode that was asked for lists its legs.
void conclude(GateResult& result);

// What sums a result up for a person (summary.cpp): "This device gives the reference's answer. Exact: worst
// stage cosine 1 - 2.1e-12 at layer 6, attention; 0 of 8,064 expert choices differ. Fast: …"
std::string summarise(const GateResult& result);

// The model with its first `layers` layers only, for both sides; the whole for 0 or at least as many.
model::Weights cut_layers(const model::Weights& weights, std::int32_t layers);
bool says_random(const model::Config& config);

}  // namespace trine::contract
