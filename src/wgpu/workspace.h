#pragma once

#include "model/config.h"
#include "wgpu/gpu.h"
#include "wgpu/tuning.h"

#include <cstdint>

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
  std::uint64_t split_sums = 0;    // rows · their splits that the merge buffer holds
  std::uint32_t tiles = 0;         // of the experts' pairs
  std::uint32_t logits_rows = 0;   // that are computed and come back at a time
  std::uint32_t choose_parts = 0;  // of a row of logits, for argmax.wgsl
  std::uint32_t slots = 0;         // sequences at a time
  std::uint32_t ring = 0;          // tokens that a penalty looks back on at most, but for all
};

Capacity plan_capacity(const model::Config& config, const Tuning& tuning, const AdapterLimits& limits,
                       std::int32_t positions, std::int32_t slots);

// What changes from pass to pass and kernels read.
struct Step {
  std::uint32_t n_rows = 0;
  std::uint32_t n_logits = 0;      // of the slice that is computed
  std::uint32_t n_splits = 0;      // of a context, that attention runs side by side
  std::uint32_t zero = 0;          // which no compiler of kernels knows
  std::uint32_t first_logits = 0;  // of the slice, among the rows whose logits are computed
  std::uint32_t is_timed = 0;      // 1: choices are made and forgotten
  std::uint32_t padding[2] = {};   // buffers are multiples of 16 bytes
};

// Buffers of one forward pass, sized once for the largest batch.
struct Workspace {
  // Errors: model_load (too little device memory).
  static Result<Workspace> create(Gpu& gpu, const model::Config& config, const Capacity& capacity);
  // Bytes of all of these.
  static std::uint64_t bytes(const model::Config& config, const Capacity& capacity);
  // Bytes of those that a step's read-back has a copy of: last_choices and logits.
  static std::uint64_t answer_bytes(const model::Config& config, const Capacity& capacity);

  Capacity capacity;
  Buffer step;            // a Step
  Buffer rows;            // [N] (token or last_choice, position, slot, 1 when its logits are computed)
  Buffer page_tables;     // [slots][pages]
  Buffer choices;         // [N] of rows whose logits are computed: choice.wgsl has this and what follows
  Buffer rules;           // [slots]
  Buffer last_choices;    // [slots]
  Buffer tallies;         // [slots][3][V]
  Buffer rings;           // [slots][1 + ring]
  Buffer allowed;         // [slots][ceil(V / 32)]
  Buffer unused;          // what a kernel binds and does not touch
  Buffer x;               // [N][H] residual stream before attention, and after the layer
  Buffer attn_out;        // [N][H] residual stream between attention and the experts
  Buffer normed;          // [N][H]
  Buffer normed_q8;       // [N][1 or qkv_terms] rows of 8-bit blocks, see quantize.wgsl
  Buffer qkv;             // [N][Q+2K]
  Buffer qk;              // [N][Q+K]
  Buffer attended;        // [N][Q]
  Buffer attended_q8;     // [N] rows of 8-bit blocks
  Buffer sums;            // [N][n_heads][splits][D rounded up to 4, and 4 more]
  Buffer router_logits;   // [N][E]
  Buffer ids;             // [N][k] by falling probability
  Buffer expert_weights;  // [N][k]
  Buffer act;             // [N][k][F] silu(gate)·up, in f32 or 8-bit blocks
  Buffer act_f32;         // [N][k][F] of batches that multiply matrices
  Buffer groups;          // pairs (row, slot) by expert, see group_rows.wgsl
  Buffer pairs;
  Buffer tiles;
  Buffer down;     // [N][k][H] of such batches, and when W_down is split over several buffers
  Buffer moe_out;  // [N][H]
  Buffer logits;   // [logits_rows][V]
  Buffer best;     // [logits_rows][choose_parts] (key, id)
};

}  // namespace trine::wgpu
