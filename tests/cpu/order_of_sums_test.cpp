#include "cpu/kernels/kernels.h"
#include "quant/codec.h"
#include "quant/float.h"
#include "quant/iq.h"
#include "quant/iq4.h"
#include "quant/k_quants.h"
#include "quant/legacy.h"
#include "quant/mxfp4.h"

#include "half_fields.h"
#include "kernel_helpers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <type_traits>
#include <vector>

// The order of sums that matmul.h and kernels.h state, one number after the other with std::fma. Every
// instruction set that has fused multiply-adds must give these bits, whatever the processor: machines that no
// test can compare side by side are compared by it.

namespace trine::cpu {
namespace {

using gguf::TensorType;

// A block as integers: weight = scale · q − min, of 16 columns each.
struct IntegerWeights {
  int q[256];
  float scale[16];
  float min[16] = {};
  bool two_scales = false;  // a sub-block of 32 columns has two, so its halves are added one by one
  bool has_min = false;
};

int nibble(const std::uint8_t* bytes, int column) {
  return column < 16 ? bytes[column] & 15 : bytes[column - 16] >> 4;
}
int fifth_bit(const std::uint8_t* bits, int column) {
  return bits[column / 8] >> column % 8 & 1;
}

template <typename Q>
void fill_sub_block(IntegerWeights& w, float scale, float min, Q q) {
  for (int c = 0; c < 32; ++c) w.q[c] = q(c);
  w.scale[0] = w.scale[1] = scale;
  w.min[0] = w.min[1] = min;
}
void integers_of(const quant::BlockQ4_0& b, IntegerWeights& w) {
  fill_sub_block(w, to_float(b.d), 0, [&](int c) { return nibble(b.qs, c) - 8; });
}
void integers_of(const quant::BlockQ4_1& b, IntegerWeights& w) {
  w.has_min = true;
  fill_sub_block(w, to_float(b.d), -to_float(b.m), [&](int c) { return nibble(b.qs, c); });
}
void integers_of(const quant::BlockQ5_0& b, IntegerWeights& w) {
  fill_sub_block(w, to_float(b.d), 0, [&](int c) { return nibble(b.qs, c) + 16 * fifth_bit(b.qh, c) - 16; });
}
void integers_of(const quant::BlockQ5_1& b, IntegerWeights& w) {
  w.has_min = true;
  fill_sub_block(w, to_float(b.d), -to_float(b.m),
                 [&](int c) { return nibble(b.qs, c) + 16 * fifth_bit(b.qh, c); });
}
void integers_of(const quant::BlockQ8_0& b, IntegerWeights& w) {
  fill_sub_block(w, to_float(b.d), 0, [&](int c) { return int{b.qs[c]}; });
}
void integers_of(const quant::BlockIQ4_NL& b, IntegerWeights& w) {
  fill_sub_block(w, to_float(b.d), 0, [&](int c) { return int{quant::iq4_levels[nibble(b.qs, c)]}; });
}
void integers_of(const quant::BlockMXFP4& b, IntegerWeights& w) {
  fill_sub_block(w, quant::half_scale(b.e), 0,
                 [&](int c) { return int{quant::e2m1_doubled[nibble(b.qs, c)]}; });
}

// q(column), scale(sixteenth), min(sixteenth) of a block of 256.
template <typename Q, typename Scale, typename Min>
void fill_super_block(IntegerWeights& w, Q q, Scale scale, Min min) {
  for (int c = 0; c < 256; ++c) w.q[c] = q(c);
  for (int k = 0; k < 16; ++k) {
    w.scale[k] = scale(k);
    w.min[k] = min(k);
  }
}
float no_min(int) {
  return 0.0f;
}
void integers_of(const quant::BlockQ2_K& b, IntegerWeights& w) {
  w.two_scales = w.has_min = true;
  fill_super_block(
      w, [&](int c) { return b.qs[c / 128 * 32 + c % 32] >> c % 128 / 32 * 2 & 3; },
      [&](int k) { return to_float(b.d) * static_cast<float>(b.scales[k] & 15); },
      [&](int k) { return to_float(b.dmin) * static_cast<float>(b.scales[k] >> 4); });
}
void integers_of(const quant::BlockQ3_K& b, IntegerWeights& w) {
  w.two_scales = true;
  std::uint8_t scales[16];
  quant::unpack_scales(b.scales, scales);
  const auto q = [&](int c) {
    const int low = b.qs[c / 128 * 32 + c % 32] >> c % 128 / 32 * 2 & 3;
    return low + 4 * (b.hmask[c % 32] >> c / 32 & 1) - 4;
  };
  fill_super_block(
      w, q, [&](int k) { return to_float(b.d) * static_cast<float>(scales[k] - 32); }, no_min);
}
void integers_of_4_or_5_bits(const auto& b, IntegerWeights& w, auto high_bit) {
  w.has_min = true;
  const quant::ScalesAndMins s = quant::unpack_scales_and_mins(b.scales);
  fill_super_block(
      w, [&](int c) { return (b.qs[c / 64 * 32 + c % 32] >> c % 64 / 32 * 4 & 15) + 16 * high_bit(c); },
      [&](int k) { return to_float(b.d) * static_cast<float>(s.scales[k / 2]); },
      [&](int k) { return to_float(b.dmin) * static_cast<float>(s.mins[k / 2]); });
}
void integers_of(const quant::BlockQ4_K& b, IntegerWeights& w) {
  integers_of_4_or_5_bits(b, w, [](int) { return 0; });
}
void integers_of(const quant::BlockQ5_K& b, IntegerWeights& w) {
  integers_of_4_or_5_bits(b, w, [&](int c) { return b.qh[c % 32] >> c / 32 & 1; });
}
void integers_of(const quant::BlockQ6_K& b, IntegerWeights& w) {
  w.two_scales = true;
  const auto q = [&](int c) {
    const int low = b.ql[c / 128 * 64 + c % 64] >> c % 128 / 64 * 4 & 15;
    return low + 16 * (b.qh[c / 128 * 32 + c % 32] >> c % 128 / 32 * 2 & 3) - 32;
  };
  fill_super_block(
      w, q, [&](int k) { return to_float(b.d) * static_cast<float>(b.scales[k]); }, no_min);
}
void integers_of(const quant::BlockIQ4_XS& b, IntegerWeights& w) {
  fill_super_block(
      w, [&](int c) { return int{quant::iq4_levels[nibble(b.qs + c / 32 * 16, c % 32)]}; },
      [&](int k) { return to_float(b.d) * static_cast<float>(scale_of(b, k / 2)); }, no_min);
}
// Types of code books: quant's own tests hold expand() to ggml.
template <typename Block>
void integers_of(const Block& b, IntegerWeights& w) {
  quant::IntegerBlock integers;
  expand(b, integers);
  w.two_scales = std::is_same_v<Block, quant::BlockIQ2_XS> || std::is_same_v<Block, quant::BlockIQ2_S> ||
                 std::is_same_v<Block, quant::BlockIQ1_M>;
  fill_super_block(
      w, [&](int c) { return int{integers.q[c]}; }, [&](int k) { return integers.scale[k]; }, no_min);
}

using ReadBlock = void (*)(const std::byte* from, IntegerWeights& w);
template <typename Block>
void read_block(const std::byte* from, IntegerWeights& w) {
  Block block;
  std::memcpy(&block, from, sizeof block);
  integers_of(block, w);
}
ReadBlock reader_of(TensorType type) {
  static const std::map<TensorType, ReadBlock> readers = {
      {TensorType::Q4_0, read_block<quant::BlockQ4_0>},
      {TensorType::Q4_1, read_block<quant::BlockQ4_1>},
      {TensorType::Q5_0, read_block<quant::BlockQ5_0>},
      {TensorType::Q5_1, read_block<quant::BlockQ5_1>},
      {TensorType::Q8_0, read_block<quant::BlockQ8_0>},
      {TensorType::Q2_K, read_block<quant::BlockQ2_K>},
      {TensorType::Q3_K, read_block<quant::BlockQ3_K>},
      {TensorType::Q4_K, read_block<quant::BlockQ4_K>},
      {TensorType::Q5_K, read_block<quant::BlockQ5_K>},
      {TensorType::Q6_K, read_block<quant::BlockQ6_K>},
      {TensorType::IQ4_NL, read_block<quant::BlockIQ4_NL>},
      {TensorType::IQ4_XS, read_block<quant::BlockIQ4_XS>},
      {TensorType::MXFP4, read_block<quant::BlockMXFP4>},
      {TensorType::IQ2_XXS, read_block<quant::BlockIQ2_XXS>},
      {TensorType::IQ2_XS, read_block<quant::BlockIQ2_XS>},
      {TensorType::IQ2_S, read_block<quant::BlockIQ2_S>},
      {TensorType::IQ3_XXS, read_block<quant::BlockIQ3_XXS>},
      {TensorType::IQ3_S, read_block<quant::BlockIQ3_S>},
      {TensorType::IQ1_S, read_block<quant::BlockIQ1_S>},
      {TensorType::IQ1_M, read_block<quant::BlockIQ1_M>},
      {TensorType::TQ1_0, read_block<quant::BlockTQ1_0>},
      {TensorType::TQ2_0, read_block<quant::BlockTQ2_0>},
  };
  return readers.at(type);
}

// 32 columns of a token: x ≈ d · q.
struct TokenBlock {
  float d;
  int q[32];

  explicit TokenBlock(const float* x) {
    float largest = 0.0f;
    for (int c = 0; c < 32; ++c) largest = std::max(largest, std::abs(x[c]));
    d = largest / 127.0f;
    for (int c = 0; c < 32; ++c) q[c] = static_cast<int>(std::nearbyint(x[c] / d));
  }
  float sum(int from, int to) const { return d * static_cast<float>(std::accumulate(q + from, q + to, 0)); }
};

float fast_product(const quant::Codec& codec, const std::byte* row, const float* x, std::int64_t columns) {
  const ReadBlock read_next = reader_of(codec.type);
  float s[8] = {};
  IntegerWeights w;
  for (std::int64_t column = 0; column < columns; column += 32) {
    const std::int64_t place = column % codec.block_elements;
    if (place == 0) read_next(row + column / codec.block_elements * codec.block_bytes, w);
    const TokenBlock token(x + column);
    float& sum = s[column / 32 % 8];
    const int width = w.two_scales ? 16 : 32;
    for (int c = 0; c < 32; c += width) {
      int dot = 0;
      for (int i = c; i < c + width; ++i) dot += w.q[place + i] * token.q[i];
      sum = std::fma(static_cast<float>(dot), w.scale[(place + c) / 16] * token.d, sum);
    }
    for (int c = 0; w.has_min && c < 32; c += width)
      sum = std::fma(-w.min[(place + c) / 16], token.sum(c, c + width), sum);
  }
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

float exact_product(const quant::Codec& codec, const std::byte* row, const float* x, std::int64_t columns) {
  std::vector<float> w(columns);
  codec.decode_row(row, columns, w.data());
  float s[4] = {};
  for (std::int64_t c = 0; c < columns; ++c) s[c % 4] = std::fma(w[c], x[c], s[c % 4]);
  return (s[0] + s[1]) + (s[2] + s[3]);
}

std::vector<std::byte> random_rows(const quant::Codec& codec, std::uint64_t bytes, std::mt19937& random) {
  std::vector<std::byte> rows(bytes);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  for (std::byte& byte : rows) byte = static_cast<std::byte>(random() & 0xFF);
  for (std::uint64_t at = 0; at < bytes; at += codec.block_bytes) {
    std::byte* block = rows.data() + at;
    for (const std::size_t field : test::half_fields(codec.type))
      test::set_half(codec.type, field, bits_of(quant::to_half(uniform(random))), block);
    if (codec.type == TensorType::MXFP4) *block = static_cast<std::byte>(110 + random() % 30);
    const float value = uniform(random);
    if (codec.type == TensorType::F32) std::memcpy(block, &value, sizeof value);
    if (codec.type == TensorType::BF16) std::memcpy(block, quant::to_bfloat16(value).bytes, 2);
  }
  return rows;
}

class OrderOfSumsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    kernels_ = find_kernels(GetParam());
    if (kernels_ == nullptr) GTEST_SKIP() << "this processor lacks " << GetParam();
    if (kernels_->isa == "portable") GTEST_SKIP() << "it has no fused multiply-add";
  }

  // Rows by eights, by sixteens and left over; tokens alone, in pairs, in tiles and left over.
  void check_products(const quant::Codec& codec, std::int64_t columns) {
    SCOPED_TRACE(testing::Message() << gguf::info(codec.type).name << ", " << columns << " columns");
    constexpr std::int64_t n_rows = 19, most = 7;
    const auto row_bytes = static_cast<std::int64_t>(codec.row_bytes(columns));
    const std::vector<std::byte> rows = random_rows(codec, n_rows * row_bytes, random_);
    const std::vector<float> x = random_values(most * columns, random_);
    const std::int64_t groups = q8_groups(columns);
    std::vector<Q8Group> q8(most * groups);
    for (std::int64_t t = 0; t < most && columns % 32 == 0; ++t)
      kernels_->quantize(&x[t * columns], 0, columns, &q8[t * groups]);
    for (const bool exact : {false, true}) {
      const auto product = !exact && reads_q8(codec.type) ? fast_product : exact_product;
      std::vector<float> expected(most * n_rows);
      for (std::int64_t i = 0; i < most * n_rows; ++i)
        expected[i] = product(codec, rows.data() + i % n_rows * row_bytes, &x[i / n_rows * columns], columns);
      for (const std::int64_t n : {std::int64_t{1}, std::int64_t{3}, most}) {
        std::vector<float> out(n * n_rows);
        const MatMul matmul = (exact ? kernels_->exact : kernels_->fast)(codec.type);
        matmul({rows.data(), row_bytes, n_rows, rows.data()}, {n, columns, x.data(), q8.data(), nullptr},
               out.data(), n_rows);
        for (std::int64_t i = 0; i < n * n_rows; ++i)
          ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), std::bit_cast<std::uint32_t>(expected[i]))
              << (exact ? "exact, row " : "fast, row ") << i % n_rows << ", token " << i / n_rows << " of "
              << n << ": " << out[i] << " instead of " << expected[i];
      }
    }
  }

  const Kernels* kernels_ = nullptr;
  std::mt19937 random_{3};
};

TEST_P(OrderOfSumsTest, ProductsHaveTheBitsOfTheStatedOrder) {
  for (const quant::Codec& codec : quant::all_codecs()) {
    if (!is_built(codec.type)) continue;
    if (!reads_q8(codec.type)) check_products(codec, 261);
    check_products(codec, codec.block_elements == 256 ? 768 : 17 * 32);
  }
}

TEST_P(OrderOfSumsTest, DotProductsHaveTheBitsOfTheStatedOrder) {
  for (std::int64_t n = 0; n <= 200; ++n) {
    SCOPED_TRACE(n);
    const std::vector<float> a = random_values(n, random_), b = random_values(n, random_);
    float sums[32] = {}, rest = 0.0f;
    for (std::int64_t i = 0; i < n; ++i) {
      float& sum = i < n / 32 * 32 ? sums[i % 32] : rest;
      sum = std::fma(a[i], b[i], sum);
    }
    for (int half = 16; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
    EXPECT_EQ(std::bit_cast<std::uint32_t>(kernels_->dot_f32(a.data(), b.data(), n)),
              std::bit_cast<std::uint32_t>(sums[0] + rest));
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, OrderOfSumsTest, testing::ValuesIn(isa_names()),
                         [](const auto& info) { return test_name_of(info.param); });

}  // namespace
}  // namespace trine::cpu
