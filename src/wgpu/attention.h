#pragma once

#include "wgpu/builder.h"
#include "wgpu/kv_cache.h"
#include "wgpu/pass.h"

#include <optional>
#include <vector>

namespace trine::wgpu {

// The operations of a layer's attention, in order.
struct AttentionOps {
  Op norm;
  std::vector<Op> qkv;         // one, or one per part of the three matrices
  std::optional<Op> norm_qkv;  // both in one, for a single row
  Op qk_norm_rope;
  Op attend;                        // a workgroup for each chunk of the context
  Op attend_groups;                 // for each group of chunks
  std::optional<Op> rotate_attend;  // both in one, where all rows are of different sequences
  Op combine;                       // where contexts have several chunks
  Op combine_groups;                // of groups
  std::optional<Op> quantize;       // of what W_o reads, where that is not done already
  std::vector<Op> output;

  // Their like in batches of many rows.
  std::vector<Op> many_qkv;
  Op many_attend;
  std::vector<Op> many_output;
};

// `rope_scale` is model::RopeTable's. Errors: inference, model_load.
Result<AttentionOps> make_attention(const Builder& builder, const LayerMatrices& m, const Buffer& cache,
                                    KvType kv_type, double rope_scale);

// Adds what batches of many rows need. Errors: inference, model_load.
Result<void> add_attention_of_many(const Builder& builder, const LayerMatrices& m, const Buffer& cache,
                                   KvType kv_type, double rope_scale, AttentionOps& ops);

// attn_out = x + W_o · attention(q, k, v) for every row: norm, projections, head norms, rotary embedding, the
// KV write and causal grouped-query attention. Errors: inference.
Result<void> attention_forward_layer(Pass& pass, const AttentionOps& ops, int layer);

}  // namespace trine::wgpu
