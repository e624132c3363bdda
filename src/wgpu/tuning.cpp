#include "wgpu/tuning.h"

#include <bit>

namespace trine::wgpu {
namespace {

constexpr GemmTile tall = {
    .workgroup = 128, .tile_rows = 128, .tokens = 32, .rows = 4, .step = 1, .prefetch = false};
constexpr GemmTile narrow = {
    .workgroup = 128, .tile_rows = 64, .tokens = 32, .rows = 4, .step = 2, .prefetch = false};
constexpr GemmTile few_rows = {.workgroup = 64,
                               .tile_rows = 32,
                               .tokens = 16,
                               .rows = 2,
                               .step = 1,
                               .prefetch = false};  // for matrices of hundreds of rows
constexpr GemmTile small = {
    .workgroup = 32, .tile_rows = 16, .tokens = 16, .rows = 2, .step = 1, .prefetch = false};

// Subgroups of 32 lanes or more.
constexpr Tuning wide = {
    .matvec = {.workgroup = 128, .team = 32, .rows = 1},
    .matvec_few_rows = {.workgroup = 32, .team = 32, .rows = 1},
    .matvec_vocab_rows = {.workgroup = 128, .team = 32, .rows = 2},
    .matvec_many = {.workgroup = 128, .team = 32, .rows = 4},
    .matvec_tokens = {1, 4, 8},
    .few_rows = 512,
    .vocab_rows = 32768,
    .norm_qkv = {.workgroup = 512, .team = 32, .rows = 1},
    .router = {.workgroup = 256, .team = 32, .rows = 1},
    .gate_up = {.workgroup = 512, .team = 16, .rows = 1},
    .down = {.workgroup = 256, .team = 32, .rows = 1},
    .gemm_from_rows = 17,
    .gemm_qkv = tall,
    .gemm_output = narrow,
    .gemm_router = few_rows,
    .gemm_experts = narrow,
    .attention_workgroup = 256,
    .attention_head_vectors = 2,
    .attention_chunk = 64,
    .attention_group_chunks = 2,
    .attention_few_chunks = 32,
    .attention_decode_rows = 16,
    .attention_sum_bytes = 128 << 20,
    .combine_workgroup = 256,
    .combine_lanes = 8,
    .combine_tile = 64,
    .norm_lanes = 512,
    .rope_workgroup = 256,
    .top_k_workgroup = 256,
    .group_rows_workgroup = 256,
    .choose_workgroup = 256,
    .choose_parts = 256,
    .row_workgroup = 64,
    .batch_rows = 2048,
    .logits_rows = 16,
    .row_layers_per_submit = 2048,
};

// Subgroups of 4 to 31 lanes, or none.
constexpr Tuning narrow_or_none = {
    .matvec = {.workgroup = 64, .team = 4, .rows = 4},
    .matvec_few_rows = {.workgroup = 64, .team = 4, .rows = 1},
    .matvec_vocab_rows = {.workgroup = 64, .team = 4, .rows = 4},
    .matvec_many = {.workgroup = 64, .team = 4, .rows = 4},
    .matvec_tokens = {1, 4, 8},
    .few_rows = 512,
    .vocab_rows = 32768,
    .norm_qkv = {.workgroup = 64, .team = 4, .rows = 1},
    .router = {.workgroup = 64, .team = 4, .rows = 1},
    .gate_up = {.workgroup = 64, .team = 4, .rows = 2},
    .down = {.workgroup = 64, .team = 4, .rows = 4},
    .gemm_from_rows = 17,
    .gemm_qkv = tall,
    .gemm_output = narrow,
    .gemm_router = few_rows,
    .gemm_experts = narrow,
    .attention_workgroup = 128,
    .attention_head_vectors = 2,
    .attention_chunk = 64,
    .attention_group_chunks = 2,
    .attention_few_chunks = 32,
    .attention_decode_rows = 16,
    .attention_sum_bytes = 128 << 20,
    .combine_workgroup = 256,
    .combine_lanes = 8,
    .combine_tile = 64,
    .norm_lanes = 256,
    .rope_workgroup = 256,
    .top_k_workgroup = 256,
    .group_rows_workgroup = 256,
    .choose_workgroup = 256,
    .choose_parts = 256,
    .row_workgroup = 64,
    .batch_rows = 2048,
    .logits_rows = 16,
    .row_layers_per_submit = 1024,
};

// On a CPU the compiler's time counts, and it grows with the tile.
constexpr Tuning software = {
    .matvec = {.workgroup = 64, .team = 4, .rows = 1},
    .matvec_few_rows = {.workgroup = 64, .team = 4, .rows = 1},
    .matvec_vocab_rows = {.workgroup = 64, .team = 4, .rows = 1},
    .matvec_many = {.workgroup = 64, .team = 4, .rows = 1},
    .matvec_tokens = {1, 8, 8},
    .few_rows = 512,
    .vocab_rows = 32768,
    .norm_qkv = {.workgroup = 256, .team = 4, .rows = 1},
    .router = {.workgroup = 64, .team = 4, .rows = 1},
    .gate_up = {.workgroup = 128, .team = 4, .rows = 1},
    .down = {.workgroup = 64, .team = 4, .rows = 1},
    .gemm_from_rows = 17,
    .gemm_qkv = small,
    .gemm_output = small,
    .gemm_router = small,
    .gemm_experts = small,
    .attention_workgroup = 128,
    .attention_head_vectors = 2,
    .attention_chunk = 64,
    .attention_group_chunks = 2,
    .attention_few_chunks = 2,
    .attention_decode_rows = 16,
    .attention_sum_bytes = 128 << 20,
    .combine_workgroup = 256,
    .combine_lanes = 8,
    .combine_tile = 64,
    .norm_lanes = 256,
    .rope_workgroup = 256,
    .top_k_workgroup = 256,
    .group_rows_workgroup = 256,
    .choose_workgroup = 256,
    .choose_parts = 256,
    .row_workgroup = 64,
    .batch_rows = 256,
    .logits_rows = 16,
    .row_layers_per_submit = 512,
};

}  // namespace

Tuning tuning_for(std::uint32_t subgroup_size, bool is_software) {
  const bool usable = std::has_single_bit(subgroup_size) && subgroup_size >= 4 && subgroup_size <= 128;
  Tuning tuning = is_software ? software : usable && subgroup_size >= 32 ? wide : narrow_or_none;
  tuning.subgroup_size = usable ? subgroup_size : 0;
  return tuning;
}

}  // namespace trine::wgpu
