#pragma once

#include <cstdint>
#include <string_view>

namespace trine::gguf {

// Element types of GGUF tensors, by the ids the file stores (ggml's `enum ggml_type`).
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and ggml.h.
enum class TensorType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q8_1 = 9,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  Q8_K = 15,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  I8 = 24,
  I16 = 25,
  I32 = 26,
  I64 = 27,
  F64 = 28,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
  NVFP4 = 40,
  Q1_0 = 41,
  Q2_0 = 42,
};

// How a type is stored: rows are cut into blocks of `block_elements` values in `block_bytes` bytes.
struct TensorTypeInfo {
  TensorType type;
  std::string_view name;  // as GGUF tools print it: "Q4_K"
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};

// Null for an id this table does not know (also the ids ggml has removed: 4, 5, 31–33, 36–38).
const TensorTypeInfo* find_tensor_type(std::uint32_t id);
const TensorTypeInfo* find_tensor_type(std::string_view name);
// For a value that came from find_tensor_type().
const TensorTypeInfo& info(TensorType type);

}  // namespace trine::gguf
