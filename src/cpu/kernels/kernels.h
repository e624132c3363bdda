#pragma once

#include "gguf/tensor_type.h"
#include "model/kv_type.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace trine::cpu {

// The arithmetic of the CPU backend, once per instruction set, each in a source of its name that table.h
// gathers. Names: N activation rows (tokens), C columns, R weight rows.

// 8-bit activations: blocks of 32 along a row, x ≈ d·q, held in groups of 256 columns with all that a product
// reads of them. Behind the last column a group is zero.
inline constexpr std::int64_t q8_block = 32;
inline constexpr std::int64_t group_sub_blocks = 8;
inline constexpr std::int64_t group_columns = group_sub_blocks * q8_block;

struct alignas(32) Q8Group {
  std::int8_t q[256];      // in [-127, 127]
  float d[8];              // of each block; NaN for one that holds a NaN or an infinity
  float sums[8];           // d · Σq, for types that store a minimum
  float half_sums[2][8];   // [half of 16][block]: likewise
  std::int32_t counts[8];  // Σq, for types that store q with an offset
  std::int32_t half_counts[2][8];
};

constexpr std::int64_t q8_groups(std::int64_t columns) {
  return (columns + group_columns - 1) / group_columns;
}

// N activation rows, as fp32 and (when `q8` is set) also as 8-bit blocks.
// A matmul reads row index[t] for token t when `index` is set (tokens grouped by expert), else row t.
struct Activations {
  std::int64_t rows = 0;                // N, the tokens of this matmul
  std::int64_t columns = 0;             // C
  const float* f32 = nullptr;           // [*][C]
  const Q8Group* q8 = nullptr;          // [*][C/256, rounded up]
  const std::int32_t* index = nullptr;  // [N] or null

  std::int64_t row(std::int64_t t) const { return index == nullptr ? t : index[t]; }
};

// R consecutive rows of a weight matrix, as the file has them.
struct WeightRows {
  const std::byte* first = nullptr;
  std::int64_t row_bytes = 0;
  std::int64_t count = 0;  // R
  const std::byte* next =
      nullptr;  // what will be read after them, to be asked for early: any address will do
};

// out[t·out_stride + r] = Σ_c W[r][c]·X[t][c], for R rows and N tokens. Each output depends only on its own
// weight row and activation row, so any split over rows or tokens gives the same bits.
using MatMul = void (*)(const WeightRows& rows, const Activations& x, float* out, std::int64_t out_stride);

using model::kv_page_size;

// Queries that share a KV head: what a run over pages keeps of them. A query sees some first positions of a
// page; queries stand in ascending order of how many. D is head_dim, S ("stride") D rounded up to lanes of 8:
// columns behind D are zero in q, and out has no meaning there.
struct AttendQueries {
  std::int64_t count = 0;
  std::int64_t head_dim = 0;           // D
  const float* q = nullptr;            // [count][S], times 1/√D
  const std::int32_t* seen = nullptr;  // [count] positions of the page, 1 … 64
  float* largest = nullptr;            // [count] score so far; at first −infinity
  float* sum = nullptr;                // [count] of exp(score − largest); at first 0
  float* out = nullptr;                // [count][S] of exp(score − largest) · value; at first 0
  float* scores = nullptr;             // [count][64], scratch
  float* rescale = nullptr;            // [count], scratch
  float* widened = nullptr;            // [attend_widened(D)], scratch
};
inline constexpr std::int64_t attend_strip = 16;  // positions that are widened together
inline constexpr std::int64_t attend_wide_columns =
    32;  // columns of a page's values, likewise (wide_attend.h)
constexpr std::int64_t attend_stride(std::int64_t head_dim) {
  return (head_dim + 7) / 8 * 8;
}
constexpr std::int64_t attend_widened(std::int64_t head_dim) {
  const std::int64_t strip = attend_strip * attend_stride(head_dim);
  const std::int64_t columns = kv_page_size * attend_wide_columns;
  return strip < columns ? columns : strip;
}

// Keys and values [64][D] in their type; of q8_0 bytes [64][D] and behind them f32 scales [64][D/32].
struct KvPage {
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
  const std::byte* next_keys = nullptr;  // of the page that comes next, to be asked for early
};

// Takes a page into the running softmax of its queries. A query's bits depend on itself and what it sees of
// the pages, in their order: not on the queries beside it, and not on what a page holds behind that.
using AttendPage = void (*)(const KvPage& page, const AttendQueries& queries);

struct Kernels {
  std::string_view isa;  // one of isa_names()

  // fast reads x.q for block types (x.f32 for F32, F16 and BF16, which gain nothing from 8 bits); exact reads
  // x.f32. Defined for every type of quant::all_codecs().
  MatMul (*fast)(gguf::TensorType type);
  MatMul (*exact)(gguf::TensorType type);

  // C floats (a multiple of 32) from `column` of a row on (likewise) to that row's 8-bit blocks: d =
  // max|x|/127, q = round(x/d) to nearest even.
  void (*quantize)(const float* x, std::int64_t column, std::int64_t columns, Q8Group* row);

  // Attention over a KV cache of this type.
  AttendPage (*attend)(model::KvType type);

  // fp32 helpers over n values; f16 values are IEEE half bits. exp is within 1.25 units in the last place,
  // also of subnormal results; of −infinity 0, of NaN NaN.
  // A dot product is summed in one order
  // everywhere: 32 running sums of the columns of the same remainder by 32, as far as whole 32 go, then s[i]
  // += s[i + 16] for i below 16, and so on by 8, 4, 2 and 1. The columns behind are a sum of their own, first
  // to last, that is added at the end.
  float (*dot_f32)(const float* a, const float* b, std::int64_t n);
  void (*exp)(const float* x, float* out, std::int64_t n);
  // silu(gate) · up, where silu(x) = x / (1 + exp(−x)).
  void (*swiglu)(const float* gate, const float* up, float* out, std::int64_t n);
  void (*to_f16)(const float* x, std::uint16_t* out, std::int64_t n);
};

// Whether this build has kernels for the type: all do, but for one that takes a few types to be quick
// (tests/kernels). What is not built has null for fast() and exact().
constexpr bool is_built([[maybe_unused]] gguf::TensorType type) {
#if defined(TRINE_KERNEL_TYPES)
  using enum gguf::TensorType;
  constexpr gguf::TensorType built[] = {TRINE_KERNEL_TYPES};
  for (const gguf::TensorType one : built)
    if (one == type) return true;
  return false;
#else
  return true;
#endif
}

// Whether 8-bit activations are read for this type in fast numerics.
bool reads_q8(gguf::TensorType type);

const Kernels& portable_kernels();
#if defined(TRINE_X86_KERNELS)
const Kernels& avx2_kernels();
const Kernels& avxvnni_kernels();
const Kernels& avx512vnni_kernels();
const Kernels& amx_int8_kernels();
#elif defined(TRINE_ARM_KERNELS)
const Kernels& neon_kernels();
const Kernels& neon_i8mm_kernels();
#endif

// The instruction sets that this build has kernels for, slowest first: "portable"; of x86 "avx2", "avxvnni"
// (and with dot products of bytes), "amx-int8" and "avx512vnni" (512 bits and dot products of bytes, the
// former with the matrix unit for many tokens); of Arm "neon" (ARMv8 with dot products of bytes) and
// "neon-i8mm" (and with products of matrices of bytes).
std::vector<const char*> isa_names();

// The kernels of an instruction set by name, or the best this processor runs when `isa` is empty.
// Null when the name is unknown or the processor lacks it.
const Kernels* find_kernels(std::string_view isa);

}  // namespace trine::cpu
