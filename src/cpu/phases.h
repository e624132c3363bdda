#pragma once

#include "base/thread_pool.h"
#include "model/device_model.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace trine::cpu {

// What a step spends its time in, in the order of a layer.
enum class Phase : std::uint8_t {
  embed,
  norm,  // all RMS norms of hidden_size, with the quantisation of their rows
  qkv,
  rope_and_kv,  // head norms, rotary embedding, the KV write
  attention,
  attn_output,
  router,  // logits, choice, and the sort of the batch's choices by expert
  expert_gate_up,
  expert_down,
  logits,
  sampling,
};
inline constexpr std::size_t phase_count = 11;

// The phases of one step, as a benchmark has them timed. Not reentrant: no phase lies within another.
class PhaseTimes {
 public:
  // The pool that the step runs on, which counts its threads' times meanwhile; it outlives this.
  explicit PhaseTimes(const ThreadPool& pool);

  void enter();
  void leave(Phase phase);
  // Adds what one of the phases reads and multiplies.
  void add_work(Phase phase, double bytes, double flops_8bit = 0, double flops_f32 = 0);
  // All of them, in their order.
  std::vector<model::PhaseTime> take();

 private:
  using Clock = std::chrono::steady_clock;
  const ThreadPool& pool_;
  std::array<model::PhaseTime, phase_count> phases_;
  Clock::time_point entered_;
  ThreadPool::Times before_;
};

// Times its scope as part of a phase, where the pass is timed.
class PhaseTimer {
 public:
  PhaseTimer(PhaseTimes* times, Phase phase) : times_(times), phase_(phase) {
    if (times_ != nullptr) times_->enter();
  }
  ~PhaseTimer() {
    if (times_ != nullptr) times_->leave(phase_);
  }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;

 private:
  PhaseTimes* times_;
  Phase phase_;
};

}  // namespace trine::cpu
