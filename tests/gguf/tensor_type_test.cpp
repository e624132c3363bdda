#include "gguf/tensor_type.h"

#include <gtest/gtest.h>
#include <string>

namespace trine::gguf {
namespace {

struct Expected {
  std::uint32_t id;
  const char* name;
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};

// gguf-py 0.19.0, gguf.constants.GGML_QUANT_SIZES, but for two: Q8_1 is 40 bytes there, while ggml's
// block_q8_1 holds two halves and 32 bytes (36) since 2024; Q2_0 is newer than that release (llama.cpp
// b10451: 42, 64 elements, 2 + 16).
constexpr Expected expected_types[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
};

TEST(TensorType, TableMatchesGgml) {
  for (const Expected& expected : expected_types) {
    const TensorTypeInfo* entry = find_tensor_type(expected.id);
    ASSERT_NE(entry, nullptr) << expected.name;
    EXPECT_EQ(static_cast<std::uint32_t>(entry->type), expected.id);
    EXPECT_EQ(entry->name, expected.name);
    EXPECT_EQ(entry->block_elements, expected.block_elements) << expected.name;
    EXPECT_EQ(entry->block_bytes, expected.block_bytes) << expected.name;
    EXPECT_EQ(find_tensor_type(std::string_view(expected.name)), entry);
    EXPECT_EQ(&info(entry->type), entry);
  }
}

TEST(TensorType, RemovedAndFutureIdsAreUnknown) {
  for (const std::uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, 1000u})
    EXPECT_EQ(find_tensor_type(id), nullptr) << id;
  EXPECT_EQ(find_tensor_type(std::string_view("Q4_2")), nullptr);
}

}  // namespace
}  // namespace trine::gguf
