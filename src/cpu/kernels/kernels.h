#pragma once

#include "gguf/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trine::cpu {

// The arithmetic of the CPU backend, once per instruction set: portable.cpp, avx2.cpp, avx512vnni.cpp hold
// the same functions in the same order. Names: N activation rows (tokens), C columns, R weight rows.

// 8-bit activations: blocks of 32 along a row, x ≈ d·q. Rows are stored one after another.
inline constexpr std::int64_t q8_block = 32;
inline constexpr std::int64_t q8_sum_block = 16;

// N activation rows, as fp32 and (when `q` is set) also as 8-bit blocks.
// A matmul reads row index[t] for token t when `index` is set (tokens grouped by expert), else row t.
struct Activations {
  std::int64_t rows = 0;                // N, the tokens of this matmul
  std::int64_t columns = 0;             // C
  const float* f32 = nullptr;           // [*][C]
  const std::int8_t* q = nullptr;       // [*][C], in [-127, 127]
  const float* d = nullptr;             // [*][C/32]
  const float* sums = nullptr;          // [*][C/16]: d · Σq over 16 values, for types that store a minimum
  const std::int32_t* index = nullptr;  // [N] or null

  std::int64_t row(std::int64_t t) const { return index == nullptr ? t : index[t]; }
};

// out[t·out_stride + r] = Σ_c W[r][c]·X[t][c], for R consecutive weight rows of `row_bytes` each and N
// tokens. Each output depends only on its own weight row and activation row, so any split over rows gives the
// same bits.
// Rows are taken in groups of at most 16, so fastest is n_rows a multiple of 16; fewer than a group cost as
// much each as a whole one.
using MatMul = void (*)(const std::byte* weight_rows, std::uint64_t row_bytes, std::int64_t n_rows,
                        const Activations& x, float* out, std::int64_t out_stride);

struct Kernels {
  std::string_view isa;  // "portable", "avx2", "avx512vnni"

  // fast reads x.q for block types (x.f32 for F32, F16 and BF16, which gain nothing from 8 bits); exact reads
  // x.f32. Defined for every type of quant::all_codecs().
  MatMul (*fast)(gguf::TensorType type);
  MatMul (*exact)(gguf::TensorType type);

  // One row of C floats (a multiple of 32) to 8-bit blocks: d = max|x|/127, q = round(x/d) to nearest even.
  void (*quantize_row)(const float* x, std::int64_t columns, std::int8_t* q, float* d, float* sums);

  // fp32 helpers over n values; f16 values are IEEE half bits.
  float (*dot_f32)(const float* a, const float* b, std::int64_t n);
  float (*dot_f16)(const float* a, const std::uint16_t* b, std::int64_t n);
  void (*axpy_f32)(float scale, const float* x, float* y, std::int64_t n);          // y += scale·x
  void (*axpy_f16)(float scale, const std::uint16_t* x, float* y, std::int64_t n);  // y += scale·x
  void (*to_f16)(const float* x, std::uint16_t* out, std::int64_t n);
};

// Whether 8-bit activations are read for this type in fast numerics.
bool reads_q8(gguf::TensorType type);

const Kernels& portable_kernels();
#if defined(TRINE_X86_KERNELS)
const Kernels& avx2_kernels();
const Kernels& avx512vnni_kernels();
#endif

// The kernels of an instruction set by name, or the best this processor runs when `isa` is empty.
// Null when the name is unknown or the processor lacks it.
const Kernels* find_kernels(std::string_view isa);

}  // namespace trine::cpu
