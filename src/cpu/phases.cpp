#include "cpu/phases.h"

#include <algorithm>

namespace trine::cpu {

PhaseTimes::PhaseTimes(const ThreadPool& pool) : pool_(pool) {
  constexpr std::array<const char*, phase_count> names = {
      "embed",  "norm",           "qkv",         "rope_and_kv", "attention", "attn_output",
      "router", "expert_gate_up", "expert_down", "logits",      "sampling"};
  for (std::size_t i = 0; i < phase_count; ++i) phases_[i].name = names[i];
}

void PhaseTimes::enter() {
  before_ = pool_.times();
  entered_ = Clock::now();
}

// A worker that did not work waited. The caller works but while it waits for the others.
void PhaseTimes::leave(Phase phase) {
  const double seconds = std::chrono::duration<double>(Clock::now() - entered_).count();
  const ThreadPool::Times now = pool_.times();
  const int workers = pool_.size() - 1;
  const double idle = now.waited - before_.waited + workers * seconds - (now.worked - before_.worked);
  model::PhaseTime& time = phases_[static_cast<std::size_t>(phase)];
  ++time.count;
  time.microseconds += 1e6 * seconds;
  time.idle_microseconds += 1e6 * std::clamp(idle / pool_.size(), 0.0, seconds);
}

void PhaseTimes::add_work(Phase phase, double bytes, double flops_8bit, double flops_f32) {
  model::PhaseTime& time = phases_[static_cast<std::size_t>(phase)];
  time.bytes += bytes;
  time.flops_8bit += flops_8bit;
  time.flops_f32 += flops_f32;
}

std::vector<model::PhaseTime> PhaseTimes::take() {
  return {phases_.begin(), phases_.end()};
}

}  // namespace trine::cpu
