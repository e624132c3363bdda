#pragma once

#include "model/step.h"
#include "wgpu/gpu.h"
#include "wgpu/workspace.h"

#include <cstdint>
#include <vector>

namespace trine::wgpu {

// How a slot chooses, as choice.wgsl's Rules.
struct Rules {
  float temperature = 0;
  std::uint32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  std::uint32_t seed[2] = {};  // low, high
  float positive_scale = 1;
  float other_scale = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::uint32_t window = 0;
  std::uint32_t flags = 0;

  bool is_greedy() const { return temperature == 0 || top_k == 1; }
  bool adjusts() const { return flags != 0; }
};

// What the device holds of the slots: written before the next step, and changed by its kernels.
class Slots {
 public:
  // `work` has the buffers and outlives this.
  Slots(Gpu& gpu, const Workspace& work, std::int32_t vocab_size);

  const Rules& rules(std::int32_t slot) const { return rules_[static_cast<std::size_t>(slot)]; }

  // Errors: inference (a device fault).
  Result<void> place_choosing(std::int32_t slot, const model::Slot& entry);
  Result<void> place_pages(std::int32_t slot, const model::Slot& entry);
  Result<void> place_allowed(std::int32_t slot, const model::Slot& entry);

 private:
  Result<void> write_rules(std::int32_t slot);
  Result<void> write_tallies(std::int32_t slot, const model::Slot& entry);

  Gpu& gpu_;
  const Workspace& work_;
  std::size_t vocab_;
  std::vector<Rules> rules_;
};

}  // namespace trine::wgpu
