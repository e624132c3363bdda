#include "quant/codec.h"

#include "base/file.h"
#include "base/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace trine::quant {
namespace {

using gguf::TensorType;

// One type of data/blocks.bin: blocks, and what gguf-py decodes them to. make_golden.py states the format.
struct Golden {
  std::string name;
  std::uint32_t blocks = 0;
  std::uint32_t block_elements = 0;
  std::uint32_t block_bytes = 0;
  std::string bytes;
  std::vector<float> values;
};

class Cursor {
 public:
  explicit Cursor(const std::string& text) : text_(text) {}
  bool at_end() const { return at_ == text_.size(); }
  std::uint32_t u32() {
    std::uint32_t value = 0;
    std::memcpy(&value, take(4).data(), 4);
    return value;
  }
  std::string take(std::size_t bytes) {
    std::string part = text_.substr(at_, bytes);
    EXPECT_EQ(part.size(), bytes) << "data/blocks.bin is cut short";
    part.resize(bytes);
    at_ = std::min(at_ + bytes, text_.size());
    return part;
  }

 private:
  const std::string& text_;
  std::size_t at_ = 0;
};

// One type of data/points.bin: blocks with every point of its code book, and the SHA-256 of their floats.
struct Points {
  std::string name;
  std::string bytes;
  std::size_t values = 0;
  std::string hash;
};

std::vector<Points> read_points() {
  const auto file = read_file(TRINE_SOURCE_DIR "/tests/quant/data/points.bin");
  if (!file) {
    ADD_FAILURE() << to_string(file.error());
    return {};
  }
  std::vector<Points> all;
  for (Cursor cursor(*file); !cursor.at_end();) {
    Points points;
    points.name = cursor.take(cursor.u32());
    const std::size_t blocks = cursor.u32();
    points.values = blocks * cursor.u32();
    points.bytes = cursor.take(blocks * cursor.u32());
    points.hash = cursor.take(sha256_digits);
    all.push_back(std::move(points));
  }
  return all;
}

std::vector<Golden> read_goldens() {
  const auto file = read_file(TRINE_SOURCE_DIR "/tests/quant/data/blocks.bin");
  if (!file) {
    ADD_FAILURE() << to_string(file.error());
    return {};
  }
  std::vector<Golden> goldens;
  for (Cursor cursor(*file); !cursor.at_end();) {
    Golden golden;
    golden.name = cursor.take(cursor.u32());
    golden.blocks = cursor.u32();
    golden.block_elements = cursor.u32();
    golden.block_bytes = cursor.u32();
    golden.bytes = cursor.take(std::size_t{golden.blocks} * golden.block_bytes);
    golden.values.resize(std::size_t{golden.blocks} * golden.block_elements);
    std::memcpy(golden.values.data(), cursor.take(golden.values.size() * 4).data(), golden.values.size() * 4);
    goldens.push_back(std::move(golden));
  }
  return goldens;
}

// Equal bits, but any NaN is as good as another: the sign of infinity · 0 is the processor's choice.
void expect_same(std::span<const float> actual, std::span<const float> expected) {
  ASSERT_EQ(actual.size(), expected.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const bool same = std::isnan(expected[i]) ? std::isnan(actual[i])
                                              : std::bit_cast<std::uint32_t>(actual[i]) ==
                                                    std::bit_cast<std::uint32_t>(expected[i]);
    if (!same && ++wrong == 1)
      ADD_FAILURE() << "value " << i << ": " << actual[i] << ", expected " << expected[i];
  }
  EXPECT_EQ(wrong, 0u);
}

TEST(Codec, DecodesEveryTypeToTheBitsOfGgufPython) {
  std::set<std::string> seen;
  for (const Golden& golden : read_goldens()) {
    SCOPED_TRACE(golden.name);
    seen.insert(golden.name);
    const gguf::TensorTypeInfo* type = gguf::find_tensor_type(golden.name);
    ASSERT_NE(type, nullptr);
    const auto codec = find_codec(type->type);
    ASSERT_TRUE(codec) << to_string(codec.error());
    ASSERT_EQ((*codec)->block_elements, golden.block_elements);
    ASSERT_EQ((*codec)->block_bytes, golden.block_bytes);

    std::vector<float> row(golden.values.size());
    (*codec)->decode_row(reinterpret_cast<const std::byte*>(golden.bytes.data()), row.size(), row.data());
    expect_same(row, golden.values);
    EXPECT_EQ((*codec)->row_bytes(row.size()), golden.bytes.size());
  }
  EXPECT_EQ(seen.size(), all_codecs().size());
}

TEST(Codec, DecodesEveryPointOfEveryCodeBook) {
  std::size_t books = 0;
  for (const Points& points : read_points()) {
    SCOPED_TRACE(points.name);
    const auto codec = find_codec(gguf::find_tensor_type(points.name)->type);
    ASSERT_TRUE(codec);
    ASSERT_EQ((*codec)->row_bytes(points.values), points.bytes.size());
    std::vector<float> row(points.values);
    (*codec)->decode_row(reinterpret_cast<const std::byte*>(points.bytes.data()), row.size(), row.data());
    EXPECT_EQ(sha256({reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float)}), points.hash);
    ++books;
  }
  EXPECT_EQ(books, 7u);
}

TEST(Codec, DecodesOneBlockAtAnyAddress) {
  for (const Golden& golden : read_goldens()) {
    SCOPED_TRACE(golden.name);
    const auto codec = find_codec(gguf::find_tensor_type(golden.name)->type);
    ASSERT_TRUE(codec);
    for (std::size_t shift = 0; shift < 4; ++shift) {
      const std::string moved = std::string(shift, 'x') + golden.bytes;
      std::vector<float> block(golden.block_elements);
      (*codec)->decode_block(reinterpret_cast<const std::byte*>(moved.data() + shift), block.data());
      expect_same(block, std::span(golden.values).first(block.size()));
    }
  }
}

TEST(Codec, WritesNoFurtherThanTheRow) {
  for (const Codec& codec : all_codecs()) {
    const std::vector<std::byte> row(codec.block_bytes * 2);
    std::vector<float> out(codec.block_elements * 2 + 1, 7.0f);
    codec.decode_row(row.data(), codec.block_elements * 2, out.data());
    EXPECT_EQ(out.back(), 7.0f);
    EXPECT_TRUE(std::all_of(out.begin(), out.end() - 1, [](float x) { return x == 0.0f; }));
  }
}

TEST(Codec, AgreesWithTheTypeTableOnBlockSizes) {
  std::set<TensorType> types;
  for (const Codec& codec : all_codecs()) {
    EXPECT_TRUE(types.insert(codec.type).second) << "listed twice";
    const gguf::TensorTypeInfo& type = gguf::info(codec.type);
    EXPECT_EQ(codec.block_elements, type.block_elements) << type.name;
    EXPECT_EQ(codec.block_bytes, type.block_bytes) << type.name;
  }
  EXPECT_EQ(types.size(), 25u);
}

TEST(Codec, RefusesATypeWithoutCodecByName) {
  const auto codec = find_codec(TensorType::NVFP4);
  ASSERT_FALSE(codec);
  EXPECT_EQ(codec.error().code, ErrorCode::unsupported);
  EXPECT_EQ(codec.error().actual, "NVFP4");
  for (const char* name : {"F32", "BF16", "Q4_K", "MXFP4"})
    EXPECT_NE(codec.error().expected.find(name), std::string::npos) << codec.error().expected;
}

TEST(Codec, RefusesAnIdThatNamesNoType) {
  const auto codec = find_codec(static_cast<TensorType>(4711));
  ASSERT_FALSE(codec);
  EXPECT_EQ(codec.error().code, ErrorCode::unsupported);
  EXPECT_NE(codec.error().actual.find("4711"), std::string::npos) << codec.error().actual;
}

}  // namespace
}  // namespace trine::quant
