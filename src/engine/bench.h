#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "model/open_slot.h"
#include "sampling/sampler.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace trine::engine {

// Tokens per second over the repetitions of one measurement.
struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

// How a measurement's tokens are chosen.
struct NamedSampling {
  std::string name;
  sampling::SamplingParams params;
};
// "greedy"; "recommended", as Qwen3-Coder's model card has it: temperature 0.7, top-p 0.8, top-k 20,
// repetition penalty 1.05; "penalties": that with presence and frequency penalties and a logit bias. Nothing
// for another name.
std::optional<NamedSampling> find_sampling(const std::string& name);

struct BenchPlan {
  std::vector<std::int32_t> prefill;          // tokens per measurement
  std::int32_t decode = 0;                    // tokens per sequence and measurement
  std::vector<std::int32_t> depths;           // tokens in the KV cache before decoding starts
  std::vector<std::int32_t> sequences = {1};  // decoded together
  std::vector<NamedSampling> sampling;
  std::int32_t repetitions = 5;
  std::int32_t warmup = 1;  // repetitions that are run first and not counted
  bool parts = false;       // also time each kernel of a device with a clock, or each phase on the host

  std::int32_t longest() const;  // positions of a sequence
  std::int32_t context() const;  // of all sequences of the largest measurement, each in pages of its own
  std::int32_t slots() const;
};

// What the host did for steps of decoding.
struct HostCost {
  std::int32_t steps = 0;
  double submit_seconds = 0;
  double wait_seconds = 0;  // for tokens that were not there yet
  std::uint64_t launches = 0;
};

struct PrefillRate {
  Spread rate;
  std::optional<model::StepTime> phases;  // over all steps of the prompt, where phases are timed
};

struct DecodeCase {
  std::int32_t depth = 0;
  std::int32_t sequences = 1;
  NamedSampling sampling;
};

struct DecodeRate {
  Spread rate;                          // tokens of all sequences
  HostCost host;                        // of the counted repetitions
  std::optional<model::StepTime> step;  // in the middle, by the device's clock or where phases are timed
};

// Times steps on tokens drawn at random (with a fixed seed) from the vocabulary, so that experts are chosen
// as broadly as they can be, and decodes behind them as generation does: each token is chosen on the device,
// and steps run ahead of those that were taken. No text is made: this is the model alone.
class Bench {
 public:
  explicit Bench(model::DeviceModel& model) : model_(model) {}

  // From an empty cache; one token is chosen behind the last one. Errors: inference (also where the logits
  // are no numbers).
  Result<PrefillRate> prefill(std::int32_t tokens, const BenchPlan& plan);
  // A token of each sequence per step, behind `depth` untimed ones. Errors: as prefill().
  Result<DecodeRate> decode(const DecodeCase& one, const BenchPlan& plan);

 private:
  struct Sequences;
  model::Step prompt_step(const model::OpenSlot& slot, std::int32_t sequence, std::int32_t begin,
                          std::int32_t tokens) const;
  Result<void> run_prompt(const model::OpenSlot& slot, std::int32_t sequence, std::int32_t tokens);
  Result<model::StepTime> time_prompt(const model::OpenSlot& slot, std::int32_t tokens);
  Result<Sequences> open(const DecodeCase& one, const BenchPlan& plan);
  Result<void> submit(const Sequences& sequences, std::int32_t index, HostCost& cost,
                      std::deque<model::Ticket>& ahead);
  Result<double> decode_once(const Sequences& sequences, const BenchPlan& plan, HostCost& cost);

  model::DeviceModel& model_;
};

}  // namespace trine::engine
