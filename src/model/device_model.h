#pragma once

#include "base/error.h"
#include "model/config.h"
#include "model/kv_type.h"
#include "model/stage_tap.h"
#include "model/step.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trine::model {

// fast: activations quantised to 8-bit blocks where a backend gains by it. exact: fp32 activations, for the
// contract.
enum class Numerics { fast, exact };

// What a backend reports of the device it runs on, as the driver or the operating system names it.
struct DeviceInfo {
  std::string backend;   // "cpu", "cuda", "wgpu"
  std::string name;      // "AMD EPYC 7763 64-Core Processor"
  std::string type;      // "cpu", "discrete-gpu", "integrated-gpu", "software"
  std::string api;       // "AVX2", "Vulkan 1.3", "CUDA 13.0"
  std::string driver;    // version; empty for a CPU
  int threads = 0;       // CPU only
  bool pinned = false;   // each of them to a hardware thread of its own
  int memory_nodes = 0;  // NUMA nodes that memory was taken from in turn; 0: as the system gives it
  Numerics numerics = Numerics::fast;
  StagePlaces stage_place;  // where each stage ran, as far as steps of this model were traced
  // Variants of kernels, "subgroups", that nothing runs: those that --without named, and those that failed
  // the self-test at load.
  std::vector<std::string> left_out = {};
  std::vector<std::string> switched_off = {};
  std::optional<KvType> kv_type = {};  // what keys and values are kept as, where there is a cache of them
};

// A kernel's part of a step.
struct KernelTime {
  std::string name;
  std::int32_t launches = 0;
  double microseconds = 0;  // of all launches, with the timestamp between each two
};

// A phase's part of a step that the host's threads run, over all layers.
struct PhaseTime {
  std::string name;
  std::int32_t count = 0;  // how often it was entered
  double microseconds = 0;
  // Of these, what a thread spent waiting, on average: for the others at the phase's end, or for work that
  // one thread does alone.
  double idle_microseconds = 0;
  double bytes = 0;  // of weights, keys and values that it reads, each once, however many rows want them
  // Multiplications and additions of the model's matrix products and attention: with 8-bit activations, and
  // in fp32.
  double flops_8bit = 0;
  double flops_f32 = 0;

  // Adds what another took and did; the name stays.
  PhaseTime& operator+=(const PhaseTime& other);
};

// How long a step takes, by the clock of whoever runs it.
struct StepTime {
  double microseconds = 0;  // from its first kernel or phase to its last
  // Where asked for, of a device with a clock of its own: in the order of their first launch; measured one by
  // one, which takes longer.
  std::vector<KernelTime> kernels;
  // Where asked for, of a backend that runs the step on the host: in the order of the pass. Together at most
  // the step.
  std::vector<PhaseTime> phases;
};

// How fast a processor multiplies and adds where nothing has to be loaded, in operations per second (two a
// product) of all threads.
struct ArithmeticRate {
  double flops_8bit = 0;
  double flops_f32 = 0;
  std::string instructions;  // which did so
};

// How fast a device reads its memory.
struct MemoryRate {
  double bytes_per_second = 0;  // the best pass
  std::uint64_t bytes = 0;      // that each pass reads
  std::int32_t passes = 0;
};

// What a model takes of its device's memory, in bytes.
struct MemoryUse {
  std::uint64_t planned = 0;  // what was said before any of it was made
  std::uint64_t held = 0;     // in buffers that there are now
};

// What the engine asks of a model on a device: sequences in slots, steps of rows, and the tokens or logits
// behind them. CpuModel and WgpuModel implement it and share nothing else.
//
// Steps run in the order of their submission, and what is said of slots between two submissions holds from
// the second on, so a page that a closed slot had may be given away at once. A row's answer depends on its
// own sequence alone: not one bit on its neighbours, on how its prompt was cut into steps, or on the number
// of steps ahead. Everything is checked here, once; a backend sees valid steps only. One thread owns a model.
class DeviceModel {
 public:
  virtual ~DeviceModel() = default;
  DeviceModel(const DeviceModel&) = delete;
  DeviceModel& operator=(const DeviceModel&) = delete;

  virtual const Config& config() const = 0;
  virtual DeviceInfo describe() const = 0;
  virtual const StepLimits& limits() const = 0;
  // Nothing where the device's memory is the host's.
  virtual std::optional<MemoryUse> memory_use() const { return std::nullopt; }

  // ---- Slots ----

  // The lowest free slot, without pages. Errors: usage (sampling parameters), inference (none is free, a
  // token of `choosing` out of range, a device fault).
  Result<std::int32_t> open_slot(const Choosing& choosing = {});
  // Chooses by other rules, and another past, from the next step on. Errors: as open_slot().
  Result<void> set_choosing(std::int32_t slot, const Choosing& choosing);
  // The slot's page table, of which the first `held` positions have been run, in this slot or in another that
  // shares these pages. Errors: inference (a page out of range or named twice, more positions than pages).
  Result<void> set_pages(std::int32_t slot, std::vector<std::int32_t> pages, std::int32_t held);
  // More pages behind those that are there. Errors: as set_pages().
  Result<void> add_pages(std::int32_t slot, std::span<const std::int32_t> pages);
  // Which tokens may be chosen from the next step on: bit t % 32 of word t / 32 for token t; empty: all.
  // Errors: inference (another number of words than the vocabulary has).
  Result<void> set_allowed(std::int32_t slot, std::vector<std::uint32_t> allowed);
  // Frees the slot; steps on their way are not disturbed. Errors: inference (not open).
  Result<void> close_slot(std::int32_t slot);
  // Positions that have been run. The slot is open.
  std::int32_t length_of(std::int32_t slot) const;

  // ---- Steps ----

  // Hands a step to the device; returns once the host has recorded it, or has run it where there is no such
  // device. With a trace, which gets the stages of all rows, no other step may be on its way.
  // Errors: inference (what is out of range, by row; too many steps ahead; a device fault), with nothing run.
  Result<Ticket> submit(const Step& step, TraceSink* trace = nullptr);
  // Waits for a step; each ticket can be waited for once, in any order. Errors: inference (no such step, a
  // device fault).
  Result<StepOutput> wait(Ticket ticket);
  // submit() and wait().
  Result<StepOutput> run(const Step& step, TraceSink* trace = nullptr);

  // ---- Benchmarks ----

  // What a benchmark asks: whether there is a device with a clock of its own, whose kernels are timed;
  // whether the host runs steps itself, in phases that are timed; how long a step takes by either (it is run
  // several times, and the median counts), with its kernels or phases where asked for; how fast memory is,
  // and arithmetic, or nothing where that cannot be known. A timed step changes no choice of a later one, but
  // writes its rows' keys and values. Errors: inference (no clock, a step that is too long, steps on their
  // way).
  virtual bool times_kernels() const { return false; }
  virtual bool times_phases() const { return false; }
  Result<StepTime> time_step(const Step& step, bool in_parts);
  virtual Result<std::optional<MemoryRate>> measure_memory();
  virtual Result<std::optional<ArithmeticRate>> measure_arithmetic();

 protected:
  DeviceModel() = default;

  // What a backend does, with arguments that were checked. A slot's entry already says what is asked for.
  virtual Result<void> place_choosing(std::int32_t slot, const Slot& entry) = 0;
  virtual Result<void> place_pages(std::int32_t slot, const Slot& entry) = 0;
  virtual Result<void> place_allowed(std::int32_t slot, const Slot& entry) = 0;
  // The slot was closed.
  virtual void release_slot(std::int32_t /*slot*/) {}
  // Hands `trace`, where there is one, what it wants before it returns.
  virtual Result<void> submit_plan(const StepPlan& plan, StageTap* trace) = 0;
  // What the step of this ring index came to; the index is free then, also where this fails.
  virtual Result<StepOutput> take_output(std::int32_t ring_index) = 0;
  virtual Result<StepTime> time_plan(const StepPlan& plan, bool in_parts);

  // For describe().
  const StagePlaces& stage_places() const { return stage_places_; }

 private:
  Result<void> check_slot(std::int32_t slot) const;
  Result<void> check_choosing(const Choosing& choosing) const;
  Result<void> check_pages(std::span<const std::int32_t> pages) const;
  Result<void> check_row(const Row& row, std::size_t n) const;
  Result<StepPlan> plan_of(const Step& step) const;
  std::optional<std::int32_t> free_ring_index();
  bool is_idle() const;
  void hold_pages(std::span<const std::int32_t> pages, std::int32_t change);

  std::vector<Slot> slots_;                            // grows to limits().slots
  std::map<std::int32_t, std::int32_t> page_holders_;  // how many slots have a page in their tables
  std::vector<std::optional<Ticket>> on_their_way_;    // by ring index; grows to limits().steps_ahead
  Ticket last_ticket_ = 0;
  StagePlaces stage_places_;
};

}  // namespace trine::model
