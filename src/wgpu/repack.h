#pragma once

#include "gguf/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace trine::wgpu {

// The device layout of a weight matrix. A row is cut into units of 32 consecutive columns, the last one
// filled up with zeros (only F32, F16 and BF16 rows can have such a tail). A row is a sequence of planes,
// each padded with zeros to a multiple of 16 bytes, so that neighbouring lanes read neighbouring units in
// aligned 16-byte loads. Rows follow each other without a gap, and the matrices of an expert tensor as well.
// The bits are those of the file in another order; nothing is widened.
//
// Planes by type, in order; "/u" is per unit, "/b" per super-block of 8 units:
//   F32      8 planes of 16/u: plane p holds columns 4p .. 4p + 3 of every unit
//   F16 BF16 4 planes of 16/u: plane p holds columns 8p .. 8p + 7 of every unit
//   Q8_0     16/u columns 0 .. 15, 16/u columns 16 .. 31, d 2/u
//   Q4_0     nibbles 16/u, d 2/u                 Q4_1    nibbles 16/u, d and m 4/u
//   Q5_0     nibbles 16/u, bits 4/u, d 2/u       Q5_1    nibbles 16/u, bits 4/u, d and m 4/u
//   Q2_K     pairs 8/u, scales 16/b, d and dmin 4/b
//   Q3_K     pairs 8/u, bits 4/u, scales 12/b, d 2/b
//   Q4_K     nibbles 16/u, header 16/b           Q5_K    nibbles 16/u, header 16/b, bits 4/u
//   Q6_K     nibbles 16/u, pairs 8/u, scales 16/b, d 2/b
//   IQ4_NL   nibbles 16/u, d 2/u                 IQ4_XS  nibbles 16/u, header 8/b
//   MXFP4    nibbles 16/u, e 1/u
//   IQ2_XXS  qs 8/u, d 2/b                       IQ2_XS  qs 8/u, scales 1/u, d 2/b
//   IQ2_S    qs 4/u, signs 4/u, qh 1/u, scales 1/u, d 2/b
//   IQ3_XXS  qs 8/u, signs and scales 4/u, d 2/b
//   IQ3_S    qs 8/u, signs 4/u, qh 1/u, scales 4/b, d 2/b
//   IQ1_S    qs 4/u, qh 2/u, d 2/b               IQ1_M   qs 4/u, qh 2/u, scales 8/b
//   TQ1_0    qs 48/b, qh 4/b, d 2/b              TQ2_0   pairs 8/u, d 2/b
// Scales, headers, d, m, e, and of the IQ1, IQ2, IQ3 and TQ1 types all fields are the file's bytes (a header
// is all that precedes the quants of a block). The quant of column c of a unit lies in
//   nibbles  its low four bits: the low half of byte c when c < 16, else the high half of byte c - 16
//   pairs    two bits (those above the nibble, if any): bits 2i and 2i + 1 of byte 4h + k
//   bits     the topmost bit: bit 4h + i of byte k, where c = 16h + 4i + k, k < 4, i < 4
// So four columns that follow each other are one shift and mask away from four bytes of a word.

inline constexpr std::uint32_t unit_columns = 32;

// Bytes of one row on the device, a multiple of 16. At most 15 bytes a plane over what the file holds when
// `columns` is a multiple of 32. `columns` must be a multiple of the type's block. The type must have a
// codec.
std::uint64_t device_row_bytes(gguf::TensorType type, std::uint64_t columns);

// Writes rows in the device layout. `rows` holds consecutive rows as the file has them, at any address; `out`
// is as many times device_row_bytes(), and every byte of it is written. No state: any number of threads may
// write their own range of rows.
void repack_rows(gguf::TensorType type, std::uint64_t columns, std::span<const std::byte> rows,
                 std::span<std::byte> out);

// The type's code book, if it has one: a buffer of its rows ends in these words, a multiple of four.
std::span<const std::uint32_t> code_book(gguf::TensorType type);

// The WGSL library that reads the type's rows: "quant_q4_k.wgsl".
std::string_view quant_library(gguf::TensorType type);

// Whether that library yields units of 8-bit integers with one minimum, as numerics_fast.wgsl wants them. The
// others are read with numerics_exact.wgsl in either mode.
bool has_integer_dot(gguf::TensorType type);

}  // namespace trine::wgpu
