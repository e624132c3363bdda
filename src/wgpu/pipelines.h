#pragma once

#include "gguf/tensor_type.h"
#include "wgpu/gpu.h"
#include "wgpu/shader.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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
  std::uint32_t subgroup_size = 0;  // that it is for; 0: no subgroups
  Tile matvec;                      // for one row of activations
  Tile matvec_few_rows;             // the same for matrices of hundreds of rows, with the same team
  Tile matvec_vocab_rows;           // and for those of tens of thousands
  Tile matvec_many;                 // for four or eight, with the same team
  Tile norm_qkv;                    // one that norms its row first; the same team
  Tile router;                      // likewise
  Tile gate_up;                     // matrix_rows() is 32, a block of 8-bit activations
  Tile down;
  std::array<std::uint32_t, 3> tokens = {};  // rows of activations that variants of a mat-vec take, rising
  std::uint32_t norm_lanes = 0;              // at most
  std::uint32_t attention_workgroup = 0;
  std::uint32_t attention_chunk = 0;         // positions
  std::uint32_t attention_group_chunks = 0;  // chunks that are merged before groups are; decides bits
  std::uint32_t attention_few_chunks =
      0;  // up to so many have a workgroup each, and above it a group has one
  std::uint32_t attention_decode_rows = 0;  // longer batches have a workgroup take all chunks of a row
  std::uint32_t gemm_from_rows = 0;         // batches from here on multiply matrices, not vectors
  GemmTile gemm_qkv;
  GemmTile gemm_output;  // W_o
  GemmTile gemm_router;
  GemmTile gemm_experts;
  std::uint32_t batch_rows = 0;             // at most; short ones can be interrupted sooner
  std::uint32_t row_layers_per_submit = 0;  // rows · layers of one submission, so that no watchdog fires
};

// For a device with subgroups of this size (0: none).
Tuning tuning_for(std::uint32_t subgroup_size, bool is_software);

// A buffer as a kernel binds it.
struct Bound {
  Binding kind;
  Slice slice;
};
inline Bound reads(const Buffer& buffer) {
  return {Binding::read, buffer};
}
inline Bound writes(const Buffer& buffer) {
  return {Binding::read_write, buffer};
}

// One launch of a layer, for a batch of any length: workgroups along y cover its rows.
struct Op {
  // One kernel per number of rows that a workgroup takes, in rising order: the first one is used that takes
  // all, else the last.
  struct Variant {
    const Pipeline* pipeline = nullptr;
    std::uint32_t rows_per_group = 1;
    std::uint32_t x = 1;
    std::uint32_t z = 1;
  };
  std::string label;  // by which a profile names it
  std::vector<Variant> variants;
  BindGroup bindings;
  std::uint32_t slots = 1;  // rows of work for each row of the batch
};

// Compiles kernels, each composition once, and binds them.
class Kernels {
 public:
  explicit Kernels(Gpu& gpu);

  Gpu& gpu() const { return *gpu_; }
  const Tuning& tuning() const { return tuning_; }
  void set_few_chunks(std::uint32_t chunks) { tuning_.attention_few_chunks = chunks; }

  // A source that begins with the constants WORKGROUP and LANES, and the reductions for them.
  ShaderSource with_reduce(std::uint32_t workgroup, std::uint32_t lanes) const;
  // The libraries that quantise to 8-bit blocks, in their order.
  std::vector<std::string> quantize_files() const;
  // The fewest threads, a power of two, that `work` lanes fill and reductions allow; at most `limit`.
  std::uint32_t workgroup_for(std::uint32_t work, std::uint32_t limit) const;

  // Errors: inference (the kernel does not compile, which names it).
  Result<const Pipeline*> compile(std::string_view name, const ShaderSource& source,
                                  const std::vector<Bound>& bound);
  // An Op of one kernel. Errors: inference.
  Result<Op> make(std::string_view name, const ShaderSource& source, const std::vector<Bound>& bound,
                  std::uint32_t x = 1);
  // Fills `op.bindings`, once it has its variants. Errors: inference.
  Result<void> bind(Op& op, const std::vector<Bound>& bound);
  // The uniform of a kernel, as 32-bit words; equal ones share a buffer. Errors: model_load.
  Result<Bound> params(std::vector<std::uint32_t> words);

 private:
  Gpu* gpu_;
  Tuning tuning_;
  std::map<std::string, std::unique_ptr<Pipeline>> pipelines_;  // by text
  std::map<std::vector<std::uint32_t>, Buffer> params_;
};

}  // namespace trine::wgpu
