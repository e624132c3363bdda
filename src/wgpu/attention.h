#pragma once

#include "wgpu/forward.h"

#include <optional>
#include <vector>

namespace trine::wgpu {

// The operations of a layer's attention, in order.
struct AttentionOps {
  Op norm;
  std::vector<Op> qkv;  // one, or one per part of the three matrices
  Op qk_norm_rope;
  Op decode;  // one of decode and prefill, each followed by its merge where contexts have several chunks
  Op merge_decode;
  std::optional<Op> prefill;
  Op merge_prefill;
  std::optional<Op> quantize;  // of what W_o reads
  std::vector<Op> output;
};

// `rope_scale` is model::RopeTable's. Errors: inference, model_load.
Result<AttentionOps> make_attention(const Builder& builder, const LayerMatrices& m, const Buffer& cache,
                                    KvType kv_type, double rope_scale);

// attn_out = x + W_o · attention(q, k, v) for every row: norm, projections, head norms, rotary embedding, the
// KV write and causal grouped-query attention. Errors: inference.
Result<void> attention_forward_layer(Pass& pass, const AttentionOps& ops, int layer);

}  // namespace trine::wgpu
