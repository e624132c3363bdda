#pragma once

#include "wgpu/matvec.h"

#include <vector>

namespace trine::wgpu {

// Matrix products for batches of many rows, where a mat-vec would decode the weights again for every few
// rows. Their outputs have the mat-vecs' bits (gemm_tile.wgsl).

// As make_projection().
Result<std::vector<Op>> make_gemm(const Builder& builder, const Projection& projection, const GemmTile& tile);
// Q, K and V in one launch, to work.qkv; each whole in one part. `x` as the mat-vec reads it.
Result<Op> make_gemm_qkv(const Builder& builder, const LayerMatrices& m, const Buffer& x, bool reads_q8);

// ---- Experts: the rows of a batch grouped by the experts that they chose ----

// Fills work.groups, pairs and tiles from work.ids.
Result<Op> make_group_rows(const Builder& builder);
// work.act_f32 = silu(gate)·up for each pair of a row and its expert. One Op per part.
Result<std::vector<Op>> make_gemm_gate_up(const Builder& builder, const LayerMatrices& m, const Buffer& x,
                                          bool reads_q8);
// work.down from `act`. One Op per part.
Result<std::vector<Op>> make_gemm_down(const Builder& builder, const Matrix& matrix, const Buffer& act,
                                       bool reads_q8);

// Tiles of pairs that a batch of `rows` may need.
std::uint32_t most_tiles(const model::Config& config, const Tuning& tuning, std::uint32_t rows);

}  // namespace trine::wgpu
