#include "wgpu/repack.h"
#include "wgpu/shader.h"

#include "quant/codec.h"
#include "quant/iq.h"
#include "quant/iq4.h"
#include "quant/k_quants.h"
#include "quant/mxfp4.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace trine::wgpu {
namespace {

using gguf::TensorType;

// A plane as the header lists it: `bytes` a unit, or a super-block of 8 units.
struct Plane {
  std::uint64_t bytes;
  bool per_block = false;
};

std::vector<Plane> planes_of(TensorType type) {
  switch (type) {
    case TensorType::F32:
      return std::vector<Plane>(8, {16});
    case TensorType::F16:
    case TensorType::BF16:
      return std::vector<Plane>(4, {16});
    case TensorType::Q8_0:
      return {{16}, {16}, {2}};
    case TensorType::Q4_0:
    case TensorType::IQ4_NL:
      return {{16}, {2}};
    case TensorType::Q4_1:
      return {{16}, {4}};
    case TensorType::Q5_0:
      return {{16}, {4}, {2}};
    case TensorType::Q5_1:
      return {{16}, {4}, {4}};
    case TensorType::Q2_K:
      return {{8}, {16, true}, {4, true}};
    case TensorType::Q3_K:
      return {{8}, {4}, {12, true}, {2, true}};
    case TensorType::Q4_K:
      return {{16}, {16, true}};
    case TensorType::Q5_K:
      return {{16}, {16, true}, {4}};
    case TensorType::Q6_K:
      return {{16}, {8}, {16, true}, {2, true}};
    case TensorType::IQ4_XS:
      return {{16}, {8, true}};
    case TensorType::MXFP4:
      return {{16}, {1}};
    case TensorType::IQ2_XXS:
      return {{8}, {2, true}};
    case TensorType::IQ2_XS:
      return {{8}, {1}, {2, true}};
    case TensorType::IQ2_S:
      return {{4}, {4}, {1}, {1}, {2, true}};
    case TensorType::IQ3_XXS:
      return {{8}, {4}, {2, true}};
    case TensorType::IQ3_S:
      return {{8}, {4}, {1}, {4, true}, {2, true}};
    case TensorType::IQ1_S:
      return {{4}, {2}, {2, true}};
    case TensorType::IQ1_M:
      return {{4}, {2}, {8, true}};
    case TensorType::TQ1_0:
      return {{48, true}, {4, true}, {2, true}};
    case TensorType::TQ2_0:
      return {{8}, {2, true}};
    default:
      ADD_FAILURE() << "a type without a layout";
      return {};
  }
}

// A row on the device, read by the words of repack.h: column by column and bit by bit.
class DeviceRow {
 public:
  DeviceRow(TensorType type, std::uint64_t columns, const std::byte* bytes)
      : type_(type), bytes_(reinterpret_cast<const std::uint8_t*>(bytes)) {
    const std::uint64_t units = (columns + 31) / 32;
    for (const Plane& plane : planes_of(type)) {
      const std::uint64_t size = plane.bytes * (plane.per_block ? units / 8 : units);
      starts_.push_back(size_);
      for (size_ += size; size_ % 16 != 0; ++size_) padding_.push_back(size_);
    }
  }
  std::uint64_t size() const { return size_; }
  // Offsets of the bytes that hold nothing.
  const std::vector<std::uint64_t>& padding() const { return padding_; }

  float value(std::uint64_t column) const {
    const std::uint64_t u = column / 32;
    const std::uint64_t b = u / 8;
    const int s = static_cast<int>(u % 8);              // unit in its super-block
    const int t = static_cast<int>(column % 256 / 16);  // sub-block of 16
    const std::uint64_t c = column % 32;
    switch (type_) {
      case TensorType::F32:
        return field<float>(c / 4, u, 16, c % 4 * 4);
      case TensorType::F16:
        return to_float(field<quant::Half>(c / 8, u, 16, c % 8 * 2));
      case TensorType::BF16:
        return to_float(field<quant::Bfloat16>(c / 8, u, 16, c % 8 * 2));
      case TensorType::Q8_0:
        return half(2, u, 2) * static_cast<float>(field<std::int8_t>(c / 16, u, 16, c % 16));
      case TensorType::Q4_0:
        return half(1, u, 2) * static_cast<float>(nibble(0, u, c) - 8);
      case TensorType::Q4_1:
        return half(1, u, 4) * static_cast<float>(nibble(0, u, c)) + half(1, u, 4, 2);
      case TensorType::Q5_0:
        return half(2, u, 2) * static_cast<float>(nibble(0, u, c) + 16 * bit(1, u, c) - 16);
      case TensorType::Q5_1:
        return half(2, u, 4) * static_cast<float>(nibble(0, u, c) + 16 * bit(1, u, c)) + half(2, u, 4, 2);
      case TensorType::Q2_K: {
        const int scale = field<std::uint8_t>(1, b, 16, static_cast<std::uint64_t>(t));
        return half(2, b, 4) * static_cast<float>(scale & 15) * static_cast<float>(pair(0, u, c)) -
               half(2, b, 4, 2) * static_cast<float>(scale >> 4);
      }
      case TensorType::Q3_K: {
        std::uint8_t scales[16];
        quant::unpack_scales(field<Twelve>(2, b, 12).bytes, scales);
        return half(3, b, 2) * static_cast<float>(scales[t] - 32) *
               static_cast<float>(pair(0, u, c) + 4 * bit(1, u, c) - 4);
      }
      case TensorType::Q4_K:
        return with_header(b, s, nibble(0, u, c));
      case TensorType::Q5_K:
        return with_header(b, s, nibble(0, u, c) + 16 * bit(2, u, c));
      case TensorType::Q6_K: {
        const int scale = field<std::int8_t>(2, b, 16, static_cast<std::uint64_t>(t));
        return half(3, b, 2) * static_cast<float>(scale) *
               static_cast<float>(nibble(0, u, c) + 16 * pair(1, u, c) - 32);
      }
      case TensorType::IQ4_NL:
        return half(1, u, 2) * static_cast<float>(quant::iq4_levels[nibble(0, u, c)]);
      case TensorType::IQ4_XS: {
        const int low =
            field<std::uint8_t>(1, b, 8, 4 + static_cast<std::uint64_t>(s) / 2) >> (4 * (s % 2)) & 15;
        const int high = field<std::uint16_t>(1, b, 8, 2) >> (2 * s) & 3;
        return half(1, b, 8) * static_cast<float>((low | high << 4) - 32) *
               static_cast<float>(quant::iq4_levels[nibble(0, u, c)]);
      }
      case TensorType::MXFP4:
        return quant::half_scale(field<std::uint8_t>(1, u, 1)) *
               static_cast<float>(quant::e2m1_doubled[nibble(0, u, c)]);
      case TensorType::TQ2_0:
        return half(1, b, 2) * static_cast<float>(pair(0, u, c) - 1);
      case TensorType::IQ2_XXS:
        return of_block<quant::BlockIQ2_XXS>(column, [&](auto& block) {
          take(block.qs, 0, 8 * b, 8);
          take(block.d, 1, b, 2);
        });
      case TensorType::IQ2_XS:
        return of_block<quant::BlockIQ2_XS>(column, [&](auto& block) {
          take(block.qs, 0, 8 * b, 8);
          take(block.scales, 1, 8 * b, 1);
          take(block.d, 2, b, 2);
        });
      case TensorType::IQ2_S:
        return of_block<quant::BlockIQ2_S>(column, [&](auto& block) {
          take(block.qs, 0, 8 * b, 4);
          take(block.signs, 1, 8 * b, 4);
          take(block.qh, 2, 8 * b, 1);
          take(block.scales, 3, 8 * b, 1);
          take(block.d, 4, b, 2);
        });
      case TensorType::IQ3_XXS:
        return of_block<quant::BlockIQ3_XXS>(column, [&](auto& block) {
          take(block.qs, 0, 8 * b, 8);
          take(block.signs_and_scales, 1, 8 * b, 4);
          take(block.d, 2, b, 2);
        });
      case TensorType::IQ3_S:
        return of_block<quant::BlockIQ3_S>(column, [&](auto& block) {
          take(block.qs, 0, 8 * b, 8);
          take(block.signs, 1, 8 * b, 4);
          take(block.qh, 2, 8 * b, 1);
          take(block.scales, 3, b, 4);
          take(block.d, 4, b, 2);
        });
      case TensorType::IQ1_S:
        return of_block<quant::BlockIQ1_S>(column, [&](auto& block) {
          take(block.qs, 0, 8 * b, 4);
          take(block.qh, 1, 8 * b, 2);
          take(block.d, 2, b, 2);
        });
      case TensorType::IQ1_M:
        return of_block<quant::BlockIQ1_M>(column, [&](auto& block) {
          take(block.qs, 0, 8 * b, 4);
          take(block.qh, 1, 8 * b, 2);
          take(block.scales, 2, b, 8);
        });
      case TensorType::TQ1_0:
        return of_block<quant::BlockTQ1_0>(column, [&](auto& block) {
          take(block.qs, 0, b, 48);
          take(block.qh, 1, b, 4);
          take(block.d, 2, b, 2);
        });
      default:
        return std::nanf("");
    }
  }

 private:
  struct Twelve {
    std::uint8_t bytes[12];
  };

  template <typename T>
  T field(std::uint64_t plane, std::uint64_t index, std::uint64_t stride, std::uint64_t offset = 0) const {
    T result;
    std::memcpy(&result, bytes_ + starts_[plane] + index * stride + offset, sizeof(T));
    return result;
  }
  float half(std::uint64_t plane, std::uint64_t index, std::uint64_t stride, std::uint64_t offset = 0) const {
    return to_float(field<quant::Half>(plane, index, stride, offset));
  }
  int nibble(std::uint64_t plane, std::uint64_t unit, std::uint64_t c) const {
    return field<std::uint8_t>(plane, unit, 16, c % 16) >> (c < 16 ? 0 : 4) & 15;
  }
  int pair(std::uint64_t plane, std::uint64_t unit, std::uint64_t c) const {
    return field<std::uint8_t>(plane, unit, 8, 4 * (c / 16) + c % 4) >> (2 * (c % 16 / 4)) & 3;
  }
  int bit(std::uint64_t plane, std::uint64_t unit, std::uint64_t c) const {
    return field<std::uint8_t>(plane, unit, 4, c % 4) >> (4 * (c / 16) + c % 16 / 4) & 1;
  }
  // A type whose fields the device keeps: the file's block, put together again.
  template <typename Block, typename Take>
  static float of_block(std::uint64_t column, Take&& take_fields) {
    Block block;
    take_fields(block);
    float values[256];
    decode(block, values);
    return values[column % 256];
  }
  template <typename Field>
  void take(Field& field, std::uint64_t plane, std::uint64_t index, std::uint64_t stride) const {
    std::memcpy(&field, bytes_ + starts_[plane] + index * stride, sizeof field);
  }
  float with_header(std::uint64_t block, int s, int q) const {
    const auto sub = quant::unpack_scales_and_mins(field<Twelve>(1, block, 16, 4).bytes);
    const float scale = half(1, block, 16) * static_cast<float>(sub.scales[s]);
    const float min = half(1, block, 16, 2) * static_cast<float>(sub.mins[s]);
    return scale * static_cast<float>(q) - min;
  }

  TensorType type_;
  const std::uint8_t* bytes_;
  std::vector<std::uint64_t> starts_;
  std::vector<std::uint64_t> padding_;
  std::uint64_t size_ = 0;
};

std::vector<std::byte> random_bytes(std::uint64_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Columns to try: odd ones where the type allows them, an odd number of blocks, an even one.
std::vector<std::uint64_t> columns_of(const quant::Codec& codec) {
  if (codec.block_elements == 1) return {1, 37, 64};
  return {codec.block_elements, 3u * codec.block_elements, 10u * codec.block_elements};
}

bool same(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

TEST(Repack, KeepsEveryWeightOfEveryType) {
  constexpr std::uint64_t rows = 3;
  for (const quant::Codec& codec : quant::all_codecs()) {
    for (const std::uint64_t columns : columns_of(codec)) {
      SCOPED_TRACE(std::string(gguf::info(codec.type).name) + " x " + std::to_string(columns));
      const auto source = random_bytes(rows * codec.row_bytes(columns), static_cast<unsigned>(columns));
      const std::uint64_t row_bytes = device_row_bytes(codec.type, columns);
      std::vector<std::byte> device(rows * row_bytes, std::byte{0xA5});
      repack_rows(codec.type, columns, source, device);

      std::vector<float> expected(columns);
      for (std::uint64_t r = 0; r < rows; ++r) {
        codec.decode_row(source.data() + r * codec.row_bytes(columns), columns, expected.data());
        const DeviceRow row(codec.type, columns, device.data() + r * row_bytes);
        ASSERT_EQ(row.size(), row_bytes);
        for (std::uint64_t c = 0; c < columns; ++c)
          ASSERT_TRUE(same(row.value(c), expected[c]))
              << "row " << r << ", column " << c << ": " << row.value(c) << ", expected " << expected[c];
        for (std::uint64_t c = columns; c < (columns + 31) / 32 * 32; ++c) ASSERT_EQ(row.value(c), 0.0f);
        for (const std::uint64_t at : row.padding())
          ASSERT_EQ(device[r * row_bytes + at], std::byte{0}) << "padding byte " << at << " of row " << r;
      }
    }
  }
}

TEST(Repack, WritesAnyRangeOfRowsAsTheWhole) {
  constexpr std::uint64_t rows = 5;
  for (const quant::Codec& codec : quant::all_codecs()) {
    SCOPED_TRACE(gguf::info(codec.type).name);
    const std::uint64_t columns = codec.block_elements == 1 ? 37 : 3u * codec.block_elements;
    const std::uint64_t from = codec.row_bytes(columns);
    const std::uint64_t to = device_row_bytes(codec.type, columns);
    // One byte in, so that no row is aligned.
    const auto source = random_bytes(1 + rows * from, 7);
    const std::span<const std::byte> tensor = std::span(source).subspan(1);
    std::vector<std::byte> whole(rows * to);
    std::vector<std::byte> pieces(rows * to);
    repack_rows(codec.type, columns, tensor, whole);
    repack_rows(codec.type, columns, tensor.subspan(2 * from), std::span(pieces).subspan(2 * to));
    repack_rows(codec.type, columns, tensor.first(2 * from), std::span(pieces).first(2 * to));
    EXPECT_EQ(whole, pieces);
  }
}

TEST(Repack, TakesNoMoreThanTheFileAtTheWidthsOfRealModels) {
  for (const quant::Codec& codec : quant::all_codecs()) {
    SCOPED_TRACE(gguf::info(codec.type).name);
    for (const std::uint64_t columns : {2048u, 4096u})
      EXPECT_EQ(device_row_bytes(codec.type, columns), codec.row_bytes(columns));
  }
  // An expert's width is three super-blocks, which leaves the planes of small fields with a tail.
  EXPECT_EQ(device_row_bytes(TensorType::Q6_K, 768), 640u);  // 630 in the file
  EXPECT_EQ(device_row_bytes(TensorType::Q4_K, 768), 432u);
}

TEST(Repack, LibrariesKnowTheSizeOfTheirCodeBook) {
  for (const quant::Codec& codec : quant::all_codecs()) {
    SCOPED_TRACE(gguf::info(codec.type).name);
    const std::size_t words = code_book(codec.type).size();
    EXPECT_EQ(words % 4, 0u);
    ShaderSource source;
    source.files.emplace_back(quant_library(codec.type));
    const std::string text = assemble(source);
    if (words == 0)
      EXPECT_EQ(text.find("weights_book"), text.npos);
    else
      EXPECT_NE(text.find("weights_book: u32 = " + std::to_string(words / 4) + "u;"), text.npos);
  }
}

TEST(Repack, NamesAnEmbeddedLibraryPerType) {
  EXPECT_EQ(quant_library(TensorType::Q4_K), "quant_q4_k.wgsl");
  EXPECT_EQ(quant_library(TensorType::MXFP4), "quant_mxfp4.wgsl");
  EXPECT_TRUE(has_integer_dot(TensorType::Q6_K));
  EXPECT_FALSE(has_integer_dot(TensorType::F32));
  EXPECT_FALSE(has_integer_dot(TensorType::Q2_K));
}

}  // namespace
}  // namespace trine::wgpu
