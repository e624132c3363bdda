#pragma once

#include "gguf/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace trine::cpu {

// The arithmetic of the CPU backend, once per instruction set: portable.cpp, avx2.cpp, avx512vnni.cpp and
// neon.h hold the same functions in the same order. Names: N activation rows (tokens), C columns, R weight
// rows.

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

struct Kernels {
  std::string_view isa;  // one of isa_names()

  // fast reads x.q for block types (x.f32 for F32, F16 and BF16, which gain nothing from 8 bits); exact reads
  // x.f32. Defined for every type of quant::all_codecs().
  MatMul (*fast)(gguf::TensorType type);
  MatMul (*exact)(gguf::TensorType type);

  // C floats (a multiple of 32) from `column` of a row on (likewise) to that row's 8-bit blocks: d =
  // max|x|/127, q = round(x/d) to nearest even.
  void (*quantize)(const float* x, std::int64_t column, std::int64_t columns, Q8Group* row);

  // fp32 helpers over n values; f16 values are IEEE half bits. A dot product is summed in one order
  // everywhere: 32 running sums of the columns of the same remainder by 32, as far as whole 32 go, then s[i]
  // += s[i + 16] for i below 16, and so on by 8, 4, 2 and 1. The columns behind are a sum of their own, first
  // to last, that is added at the end.
  float (*dot_f32)(const float* a, const float* b, std::int64_t n);
  float (*dot_f16)(const float* a, const std::uint16_t* b, std::int64_t n);
  void (*axpy_f32)(float scale, const float* x, float* y, std::int64_t n);          // y += scale·x
  void (*axpy_f16)(float scale, const std::uint16_t* x, float* y, std::int64_t n);  // y += scale·x
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
const Kernels& avx512vnni_kernels();
#elif defined(TRINE_ARM_KERNELS)
const Kernels& neon_kernels();
const Kernels& neon_i8mm_kernels();
#endif

// The instruction sets that this build has kernels for, slowest first: "portable", then of x86 "avx2" and
// "avx512vnni", of Arm "neon" (ARMv8 with dot products of bytes) and "neon-i8mm" (and with products of
// matrices of bytes).
std::vector<const char*> isa_names();

// The kernels of an instruction set by name, or the best this processor runs when `isa` is empty.
// Null when the name is unknown or the processor lacks it.
const Kernels* find_kernels(std::string_view isa);

}  // namespace trine::cpu
