#pragma once

#include "base/error.h"
#include "model/device_model.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace trine::cli {

// Tokens per second over the repetitions of one measurement.
struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

struct BenchPlan {
  std::vector<std::int32_t> prefill;  // tokens per measurement
  std::int32_t decode = 0;            // tokens per measurement
  std::vector<std::int32_t> depths;   // tokens in the KV cache before decoding starts
  std::int32_t repetitions = 5;
  std::int32_t warmup = 1;  // repetitions that are run first and not counted
  bool kernels = false;     // time each, where the device has a clock

  std::int32_t context() const;  // positions that the largest measurement needs
};

struct DecodeRate {
  Spread rate;
  std::optional<model::StreamCost> stream;  // of the counted repetitions, where the device chose the tokens
  std::optional<model::PassTime> device;    // of the token in the middle, by the device's clock
};

// Times forward passes on tokens drawn at random (with a fixed seed) from the vocabulary, so that experts are
// chosen as broadly as they can be. Nothing is sampled and no text is made: this is the model alone. Where
// the device can choose tokens itself, it decodes greedily behind a random one, as generation would run it.
class Bench {
 public:
  explicit Bench(model::DeviceModel& model);

  // From an empty cache; logits of the last token only, as generation does it. Errors: inference (also where
  // they are no numbers).
  Result<Spread> prefill(std::int32_t tokens, const BenchPlan& plan);
  // One token at a time, each with its logits, after `depth` untimed tokens.
  // Errors: inference (also where a stream's logits are no numbers).
  Result<DecodeRate> decode(std::int32_t depth, const BenchPlan& plan);

 private:
  Result<void> forward(std::int32_t first, std::int32_t count);
  Result<void> require_numbers(std::int32_t position) const;
  Result<std::optional<model::StreamCost>> stream(std::int32_t depth, std::int32_t tokens);

  model::DeviceModel& model_;
  model::Batch batch_;
  std::vector<float> logits_;
};

}  // namespace trine::cli
