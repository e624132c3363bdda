#pragma once

#include "model/device_model.h"
#include "model/stage.h"
#include "wgpu/kv_cache.h"
#include "wgpu/pipelines.h"
#include "wgpu/weights.h"

#include <cstdint>
#include <span>
#include <vector>

namespace trine::wgpu {

// Dimension key of every file in this folder:
//   N batch rows (tokens), L rows that want logits, H hidden_size, D head_dim, Q n_heads·D, K n_kv_heads·D,
//   E experts, k experts_per_token, F expert_ffn_size, V vocabulary.

// Rows of 8-bit blocks that Q, K and V read for a row of activations, the second being what the first lost:
// their errors are multiplied by each other in the scores and stay in the cache (docs/performance.md).
inline constexpr std::uint32_t qkv_terms = 2;

// What a pass is laid out for, fixed at load.
struct Capacity {
  std::uint32_t rows = 0;          // of a batch
  std::uint32_t pages = 0;         // of a sequence
  std::uint32_t chunk = 0;         // positions that attention takes at a time
  std::uint32_t few_chunks = 0;    // up to so many have a workgroup each; above it a group of them has one
  std::uint32_t group_chunks = 0;  // of a group
  std::uint32_t decode_rows = 0;   // batches up to this long run attention's chunks side by side
  std::uint64_t part_sums = 0;     // rows · parts of them that the merge buffer holds
  std::uint32_t tiles = 0;         // of the experts' pairs
  std::uint32_t logits_rows = 0;   // that are computed and come back at a time
};

Capacity plan_capacity(const model::Config& config, const Tuning& tuning, const AdapterLimits& limits,
                       std::int32_t positions);

// What changes from pass to pass and kernels read.
struct Step {
  std::uint32_t n_rows = 0;
  std::uint32_t n_logits = 0;  // of the slice that is computed
  std::uint32_t n_parts = 0;   // of a context, that attention runs side by side
  std::uint32_t ring_slot = 0;
  std::uint32_t first_logits = 0;  // of the slice, among the rows that want logits
  std::uint32_t unused[3] = {};    // buffers are multiples of 16 bytes
};

// Buffers of one forward pass, sized once for the largest batch.
struct Workspace {
  // Errors: model_load (too little device memory).
  static Result<Workspace> create(Gpu& gpu, const model::Config& config, const Capacity& capacity);
  static std::uint64_t bytes(const model::Config& config, const Capacity& capacity);

  Capacity capacity;
  Buffer step;            // a Step
  Buffer rows;            // [N] (token, position, sequence, 1 when it wants logits)
  Buffer page_tables;     // [N][pages]
  Buffer unused;          // what a kernel binds and does not touch
  Buffer x;               // [N][H] residual stream before attention, and after the layer
  Buffer attn_out;        // [N][H] residual stream between attention and the experts
  Buffer normed;          // [N][H]
  Buffer normed_q8;       // [N][1 or qkv_terms] rows of 8-bit blocks, see quantize.wgsl
  Buffer qkv;             // [N][Q+2K]
  Buffer qk;              // [N][Q+K]
  Buffer attended;        // [N][Q]
  Buffer attended_q8;     // [N] rows of 8-bit blocks
  Buffer sums;            // [N][n_heads][parts][D rounded up to 4, and 4 more]
  Buffer router_logits;   // [N][E]
  Buffer ids;             // [N][k] by falling probability
  Buffer expert_weights;  // [N][k]
  Buffer act;             // [N][k][F] silu(gate)·up, in f32 or 8-bit blocks
  Buffer act_f32;         // [N][k][F] of batches that multiply matrices
  Buffer groups;          // pairs (row, slot) by expert, see group_rows.wgsl
  Buffer pairs;
  Buffer tiles;
  Buffer down;           // [N][k][H] of such batches, and when W_down is split over several buffers
  Buffer moe_out;        // [N][H]
  Buffer logits;         // [logits_rows][V]
  Readback logits_read;  // the same
};

// What the operations of a pass are made from.
struct Builder {
  Kernels& kernels;
  const Workspace& work;
  const model::Config& config;
  model::Numerics numerics;

  // Whether kernels read this matrix's activations as 8-bit blocks.
  bool reads_q8(const Matrix& matrix) const;
};

// One matrix times the rows of an activation.
struct Projection {
  std::string_view label;
  const Matrix& matrix;
  const Buffer& x;  // f32, or 8-bit blocks
  bool reads_q8;    // which of the two
  const Buffer& y;  // [rows][y_stride]
  std::uint32_t y_stride;
  std::uint32_t y_first = 0;         // column of y that gets the first matrix row
  const Buffer* residual = nullptr;  // added; another buffer than y
  bool logits = false;               // x has the rows that want logits only
  std::uint32_t terms = 1;           // rows of 8-bit blocks a row
};
// Whether a mat-vec of so many rows of activations has the workgroup memory it needs; with one row it always
// does.
bool matvec_fits(const Kernels& kernels, const Tile& tile, std::uint32_t tokens);
// The constants of a mat-vec.
ShaderSource matvec_source(const Tile& tile, std::uint32_t tokens, std::uint32_t terms,
                           std::uint32_t columns);
// One Op per part of the matrix.
Result<std::vector<Op>> make_projection(const Builder& builder, const Projection& projection);

enum class NormOutput { f32, f32_and_q8, f32_and_q8_terms };
// Lanes that a norm over the hidden size is summed over, which decides its bits: a power of two, and of
// threads a workgroup that reductions allow.
std::uint32_t norm_lanes(const Builder& builder);
// Threads of a kernel that computes a norm and multiplies a tile behind it.
std::uint32_t norm_workgroup(const Builder& builder, const Tile& tile);
// The constants, flags and libraries of a kernel that computes a norm over the hidden size. norm_lanes() is a
// multiple of `workgroup`.
ShaderSource norm_source(const Builder& builder, NormOutput output, std::uint32_t workgroup);
// normed = rmsnorm(x)·weight for every row; with `logits`, for those that want them, behind one another.
Result<Op> make_norm(const Builder& builder, const Buffer& x, const Buffer& weight, NormOutput output,
                     bool logits = false);

// The libraries that read a matrix, named `as` when it is not "weights".
std::string quant_file(const Matrix& matrix, std::string_view as = {});
// Appends what multiplies activations from memory, f32 or 8-bit blocks.
void append_numerics(ShaderSource& source, bool reads_q8);

// A forward pass under way.
struct Pass {
  const model::Config& config;
  Gpu& gpu;
  Workspace& work;
  const model::Batch& batch;
  model::TraceSink* trace;
  Commands commands;
  std::uint32_t n_rows = 0;
  std::uint32_t n_logits = 0;
  std::uint32_t n_parts = 0;  // of a context, that attention runs side by side
  std::uint32_t n_tiles = 0;  // of the experts' pairs
  bool many = false;          // whether matrices are multiplied, not vectors
  bool grouped = false;       // whether a part is a group of chunks
  bool one_each = false;      // whether all rows are of different sequences

  // Appends an operation for all rows of the batch, or another number of them.
  void run(const Op& op) { run(op, n_rows); }
  void run(const Op& op, std::uint32_t rows, std::uint32_t parts = 1);
  void run(std::span<const Op> ops) {
    for (const Op& op : ops) run(op);
  }

  bool wants(model::Stage stage, int layer) const { return trace != nullptr && trace->wants(stage, layer); }
  // Hands N × width floats to the trace when it wants this stage. Errors: inference.
  Result<void> report(model::Stage stage, int layer, const Buffer& buffer, std::int64_t width);
  // Runs what was recorded and copies the first into.size() words of a buffer. Errors: inference.
  Result<void> read(const Buffer& buffer, std::span<std::uint32_t> into);
  // Takes effect before what is recorded from here on: submits what was. Errors: inference.
  Result<void> set_logits_slice(std::uint32_t first, std::uint32_t count);
  // Submits what was recorded. Errors: inference.
  Result<Submission> submit();
};

// Seconds after which a submission counts as hung; a software adapter may need many.
inline constexpr double submission_patience = 300;

}  // namespace trine::wgpu
