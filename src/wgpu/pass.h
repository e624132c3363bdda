#pragma once

#include "model/device_model.h"
#include "model/stage.h"
#include "wgpu/kernel_cache.h"
#include "wgpu/workspace.h"

#include <cstdint>
#include <span>

namespace trine::wgpu {

// A forward pass under way.
struct Pass {
  const model::Config& config;
  Gpu& gpu;
  Workspace& work;
  const model::StepPlan& plan;
  model::StageTap* trace;
  Commands commands;
  std::uint32_t n_rows = 0;
  std::uint32_t n_logits = 0;  // plan.head_rows
  std::uint32_t n_splits = 0;  // of a context, that attention runs side by side
  std::uint32_t n_tiles = 0;   // of the experts' pairs
  // Long batches are split into submissions of so many layers, and at most two of them wait.
  std::uint32_t layers_per_submit = 1;
  bool many = false;      // whether matrices are multiplied, not vectors
  bool grouped = false;   // whether a split is a group of chunks
  bool one_each = false;  // whether all rows are of different slots

  // Appends an operation for all rows of the batch, or another number of them.
  void run(const Op& op) { run(op, n_rows); }
  void run(const Op& op, std::uint32_t rows, std::uint32_t splits = 1);
  void run(std::span<const Op> ops) {
    for (const Op& op : ops) run(op);
  }

  bool wants(model::Stage stage, int layer) const { return trace != nullptr && trace->wants(stage, layer); }
  // Hands N × width floats to the trace when it wants this stage. Errors: inference.
  Result<void> report(model::Stage stage, int layer, const Buffer& buffer, std::int64_t width);
  // Runs what was recorded and copies the first into.size() words of a buffer. Errors: inference.
  Result<void> read(const Buffer& buffer, std::span<std::uint32_t> into);
  // Takes effect before what is submitted from here on. Errors: inference.
  Result<void> set_logits_slice(std::uint32_t first, std::uint32_t count);
  // Submits what was recorded. Errors: inference.
  Result<Submission> submit();
};

// Seconds after which a submission counts as hung; a software adapter may need many.
inline constexpr double submission_patience = 300;

}  // namespace trine::wgpu
