#include "gguf/tensor_type.h"

#include "base/check.h"

#include <algorithm>
#include <array>

namespace trine::gguf {
namespace {

using enum TensorType;

// Block sizes follow the structs of ggml-common.h: scales first, then packed values.
constexpr std::array type_table = {
    TensorTypeInfo{F32, "F32", 1, 4},
    TensorTypeInfo{F16, "F16", 1, 2},
    TensorTypeInfo{Q4_0, "Q4_0", 32, 2 + 16},
    TensorTypeInfo{Q4_1, "Q4_1", 32, 2 + 2 + 16},
    TensorTypeInfo{Q5_0, "Q5_0", 32, 2 + 4 + 16},
    TensorTypeInfo{Q5_1, "Q5_1", 32, 2 + 2 + 4 + 16},
    TensorTypeInfo{Q8_0, "Q8_0", 32, 2 + 32},
    TensorTypeInfo{Q8_1, "Q8_1", 32, 2 + 2 + 32},
    TensorTypeInfo{Q2_K, "Q2_K", 256, 16 + 64 + 2 + 2},
    TensorTypeInfo{Q3_K, "Q3_K", 256, 32 + 64 + 12 + 2},
    TensorTypeInfo{Q4_K, "Q4_K", 256, 2 + 2 + 12 + 128},
    TensorTypeInfo{Q5_K, "Q5_K", 256, 2 + 2 + 12 + 32 + 128},
    TensorTypeInfo{Q6_K, "Q6_K", 256, 128 + 64 + 16 + 2},
    TensorTypeInfo{Q8_K, "Q8_K", 256, 4 + 256 + 32},
    TensorTypeInfo{IQ2_XXS, "IQ2_XXS", 256, 2 + 64},
    TensorTypeInfo{IQ2_XS, "IQ2_XS", 256, 2 + 64 + 8},
    TensorTypeInfo{IQ3_XXS, "IQ3_XXS", 256, 2 + 96},
    TensorTypeInfo{IQ1_S, "IQ1_S", 256, 2 + 32 + 16},
    TensorTypeInfo{IQ4_NL, "IQ4_NL", 32, 2 + 16},
    TensorTypeInfo{IQ3_S, "IQ3_S", 256, 2 + 64 + 8 + 32 + 4},
    TensorTypeInfo{IQ2_S, "IQ2_S", 256, 2 + 64 + 8 + 8},
    TensorTypeInfo{IQ4_XS, "IQ4_XS", 256, 2 + 2 + 4 + 128},
    TensorTypeInfo{I8, "I8", 1, 1},
    TensorTypeInfo{I16, "I16", 1, 2},
    TensorTypeInfo{I32, "I32", 1, 4},
    TensorTypeInfo{I64, "I64", 1, 8},
    TensorTypeInfo{F64, "F64", 1, 8},
    TensorTypeInfo{IQ1_M, "IQ1_M", 256, 32 + 16 + 8},
    TensorTypeInfo{BF16, "BF16", 1, 2},
    TensorTypeInfo{TQ1_0, "TQ1_0", 256, 48 + 4 + 2},
    TensorTypeInfo{TQ2_0, "TQ2_0", 256, 64 + 2},
    TensorTypeInfo{MXFP4, "MXFP4", 32, 1 + 16},
    TensorTypeInfo{NVFP4, "NVFP4", 64, 4 + 32},
    TensorTypeInfo{Q1_0, "Q1_0", 128, 2 + 16},
    TensorTypeInfo{Q2_0, "Q2_0", 64, 2 + 16},
};

}  // namespace

const TensorTypeInfo* find_tensor_type(std::uint32_t id) {
  const auto found = std::find_if(type_table.begin(), type_table.end(), [id](const TensorTypeInfo& entry) {
    return static_cast<std::uint32_t>(entry.type) == id;
  });
  return found == type_table.end() ? nullptr : &*found;
}

const TensorTypeInfo* find_tensor_type(std::string_view name) {
  const auto found = std::find_if(type_table.begin(), type_table.end(),
                                  [name](const TensorTypeInfo& entry) { return entry.name == name; });
  return found == type_table.end() ? nullptr : &*found;
}

const TensorTypeInfo& info(TensorType type) {
  const TensorTypeInfo* entry = find_tensor_type(static_cast<std::uint32_t>(type));
  check(entry != nullptr, "a tensor type that is not in the table");
  return *entry;
}

}  // namespace trine::gguf
