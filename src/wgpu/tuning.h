#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace trine::wgpu {

// Groups of `b` that `a` things fill.
constexpr std::uint32_t divide_up(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::uint32_t>((a + b - 1) / b);
}

// How a mat-vec's workgroup is cut: `workgroup` threads in teams of `team` lanes; a team has `rows` matrix
// rows.
struct Tile {
  std::uint32_t workgroup = 0;
  std::uint32_t team = 0;
  std::uint32_t rows = 0;
  std::uint32_t matrix_rows() const { return workgroup / team * rows; }
};

// How a matrix product's workgroup is cut (gemm_tile.wgsl).
struct GemmTile {
  std::uint32_t workgroup = 0;
  std::uint32_t tile_rows = 0;  // of the matrix
  std::uint32_t tokens = 0;
  std::uint32_t rows = 0;  // a thread
  std::uint32_t step = 0;  // units staged at a time, of 8-bit activations
  bool prefetch = false;
};

// Every number that decides speed, for one kind of device. Teams, norm_lanes and the cut of attention decide
// the order of sums too, and so the last bits of results: every form of a kernel takes the same.
struct Tuning {
  std::uint32_t subgroup_size = 0;  // of the device; 0: no subgroups

  // Mat-vecs. All but experts' have the same team.
  Tile matvec;                                      // for one row of activations
  Tile matvec_few_rows;                             // the same for matrices of up to `few_rows` rows
  Tile matvec_vocab_rows;                           // and for those of `vocab_rows` or more
  Tile matvec_many;                                 // for several rows of activations
  std::array<std::uint32_t, 3> matvec_tokens = {};  // rows of activations that variants take, rising
  std::uint32_t few_rows = 0;
  std::uint32_t vocab_rows = 0;
  Tile norm_qkv;  // one that norms its row first
  Tile router;    // likewise
  Tile gate_up;   // matrix_rows() is 32, a block of 8-bit activations
  Tile down;

  // Matrix products.
  std::uint32_t gemm_from_rows = 0;  // batches from here on multiply matrices, not vectors
  GemmTile gemm_qkv;
  GemmTile gemm_output;  // W_o
  GemmTile gemm_router;
  GemmTile gemm_experts;

  // Attention: see attention.wgsl and attention_combine.wgsl.
  std::uint32_t attention_workgroup = 0;
  std::uint32_t attention_head_vectors = 0;  // query heads of a workgroup, in fours, at most
  std::uint32_t attention_chunk = 0;         // positions
  std::uint32_t attention_group_chunks = 0;  // chunks that are merged before groups are; decides bits
  std::uint32_t attention_few_chunks = 0;    // up to so many have a workgroup each; above it a group has one
  std::uint32_t attention_decode_rows = 0;   // longer batches have a workgroup take all chunks of a row
  std::uint64_t attention_sum_bytes = 0;     // that what is merged takes at most
  std::uint32_t combine_workgroup = 0;       // at most, but for very wide heads
  std::uint32_t combine_lanes = 0;           // for each four dimensions of a head
  std::uint32_t combine_tile = 0;            // splits that are loaded at a time, at most

  // The rest: threads of a workgroup.
  std::uint32_t norm_lanes = 0;  // at most
  std::uint32_t rope_workgroup = 0;
  std::uint32_t top_k_workgroup = 0;
  std::uint32_t group_rows_workgroup = 0;
  std::uint32_t choose_workgroup = 0;  // a power of 2
  std::uint32_t choose_parts = 0;      // of a row of logits, at most
  std::uint32_t row_workgroup = 0;     // of what takes each number, or block, of a row by itself

  // Batches and submissions.
  std::uint32_t batch_rows = 0;             // at most; short ones can be interrupted sooner
  std::uint32_t logits_rows = 0;            // that are computed and read back at a time
  std::uint32_t row_layers_per_submit = 0;  // rows · layers of one submission, so that no watchdog fires
};

// What the host does, whatever the device.
inline constexpr std::uint64_t repack_piece_bytes = 16 << 20;  // of weights, that are repacked at a time
inline constexpr std::uint64_t staged_bytes = 64 << 20;        // of them, that wait in staging memory
inline constexpr std::uint64_t read_piece_bytes = 64 << 20;    // that are read back at a time
// A wait polls without pause for so long, then with a sleep between polls.
inline constexpr std::chrono::microseconds busy_polling{1000}, sleep_between_polls{20};

// For a device with subgroups of this size (0: none).
Tuning tuning_for(std::uint32_t subgroup_size, bool is_software);

}  // namespace trine::wgpu
