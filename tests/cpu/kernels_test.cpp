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
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <tuple>
#include <vector>

namespace trine::cpu {
namespace {

using gguf::TensorType;

// Bytes that end where a page that cannot be read begins: reading past the end is a crash, not luck.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t readable = (size + page - 1) / page * page;
    mapped_ = readable + page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + readable, page, PROT_NONE) != 0) std::abort();
    begin_ = base_ + readable - size;
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(base_, mapped_); }

  std::byte* data() const { return begin_; }

 private:
  std::byte* base_;
  std::byte* begin_;
  std::size_t mapped_;
};

enum class Fill { random, largest, subnormal };

void fill_block(TensorType type, std::uint32_t bytes, Fill fill, std::mt19937& random, std::byte* block) {
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  // All ones, or in every other block the most negative byte: Q8_0's -128, and -128 as a scale of Q6_K.
  const int extreme = random() % 2 == 0 ? 0xFF : 0x80;
  for (std::uint32_t i = 0; i < bytes; ++i)
    block[i] = static_cast<std::byte>(fill == Fill::largest ? extreme : static_cast<int>(random() & 0xFF));
  for (const std::size_t field : test::half_fields(type)) {
    float value = uniform(random);
    if (fill == Fill::largest) value = 65504.0f;
    if (fill == Fill::subnormal) value = 0x1p-24f * static_cast<float>(random() % 1024);
    test::set_half(type, field, bits_of(quant::to_half(value)), block);
  }
  if (type == TensorType::MXFP4) {
    const int e = fill == Fill::subnormal ? random() % 3 : fill == Fill::largest ? 200 : 110 + random() % 30;
    block[0] = static_cast<std::byte>(e);
  }
  if (type == TensorType::F32 || type == TensorType::BF16) {
    float value = uniform(random);
    if (fill == Fill::largest) value *= 0x1p100f;
    if (fill == Fill::subnormal) value *= 0x1p-126f;
    if (type == TensorType::F32)
      std::memcpy(block, &value, sizeof value);
    else
      std::memcpy(block, quant::to_bfloat16(value).bytes, 2);
  }
}

// |offset · scale| or |min| of the value at `column` of a block: what the integer product is shifted by.
double shift_of(TensorType type, const std::byte* bytes, int column) {
  const auto as = [&]<typename Block>(Block block) {
    std::memcpy(&block, bytes, sizeof block);
    return block;
  };
  const int sub = column / 32;
  const int half = column / 16;
  // AVX-512 adds the largest magnitude to values with a sign.
  const auto expanded = [&]<typename Block>(Block block, double magnitude) {
    quant::IntegerBlock integers;
    expand(as(block), integers);
    return std::abs(magnitude * integers.scale[half]);
  };
  switch (type) {
    case TensorType::IQ2_XXS:
      return expanded(quant::BlockIQ2_XXS{}, 43);
    case TensorType::IQ2_XS:
      return expanded(quant::BlockIQ2_XS{}, 43);
    case TensorType::IQ2_S:
      return expanded(quant::BlockIQ2_S{}, 43);
    case TensorType::IQ3_XXS:
      return expanded(quant::BlockIQ3_XXS{}, 62);
    case TensorType::IQ3_S:
      return expanded(quant::BlockIQ3_S{}, 15);
    case TensorType::IQ1_S:
      return expanded(quant::BlockIQ1_S{}, 9);
    case TensorType::IQ1_M:
      return expanded(quant::BlockIQ1_M{}, 9);
    case TensorType::TQ1_0:
      return expanded(quant::BlockTQ1_0{}, 1);
    case TensorType::TQ2_0:
      return expanded(quant::BlockTQ2_0{}, 2);
    case TensorType::Q4_0:
      return std::abs(8.0 * to_float(as(quant::BlockQ4_0{}).d));
    case TensorType::Q5_0:
      return std::abs(16.0 * to_float(as(quant::BlockQ5_0{}).d));
    case TensorType::Q4_1:
      return std::abs(to_float(as(quant::BlockQ4_1{}).m));
    case TensorType::Q5_1:
      return std::abs(to_float(as(quant::BlockQ5_1{}).m));
    case TensorType::Q8_0:
      return std::abs(128.0 * to_float(as(quant::BlockQ8_0{}).d));
    case TensorType::IQ4_NL:
      return std::abs(128.0 * to_float(as(quant::BlockIQ4_NL{}).d));
    case TensorType::MXFP4:
      return 12.0 * quant::half_scale(as(quant::BlockMXFP4{}).e);
    case TensorType::IQ4_XS: {
      const auto block = as(quant::BlockIQ4_XS{});
      return std::abs(128.0 * to_float(block.d) * scale_of(block, sub));
    }
    case TensorType::Q2_K: {
      const auto block = as(quant::BlockQ2_K{});
      return std::abs(to_float(block.dmin) * (block.scales[half] >> 4));
    }
    case TensorType::Q3_K: {
      const auto block = as(quant::BlockQ3_K{});
      std::uint8_t scales[16];
      quant::unpack_scales(block.scales, scales);
      return std::abs(4.0 * to_float(block.d) * (scales[half] - 32));
    }
    case TensorType::Q4_K: {
      const auto block = as(quant::BlockQ4_K{});
      return std::abs(to_float(block.dmin) * quant::unpack_scales_and_mins(block.scales).mins[sub]);
    }
    case TensorType::Q5_K: {
      const auto block = as(quant::BlockQ5_K{});
      return std::abs(to_float(block.dmin) * quant::unpack_scales_and_mins(block.scales).mins[sub]);
    }
    case TensorType::Q6_K: {
      const auto block = as(quant::BlockQ6_K{});
      return std::abs(32.0 * to_float(block.d) * block.scales[half]);
    }
    default:
      return 0.0;
  }
}

struct Weights {
  const quant::Codec& codec;
  std::int64_t rows;
  std::int64_t columns;
  std::uint64_t row_bytes;
  GuardedBytes bytes;

  Weights(const quant::Codec& type, std::int64_t n_rows, std::int64_t n_columns, Fill fill,
          std::mt19937& random)
      : codec(type),
        rows(n_rows),
        columns(n_columns),
        row_bytes(type.row_bytes(n_columns)),
        bytes(n_rows * row_bytes) {
    for (std::uint64_t at = 0; at < n_rows * row_bytes; at += codec.block_bytes)
      fill_block(codec.type, codec.block_bytes, fill, random, bytes.data() + at);
  }
  const std::byte* row(std::int64_t r) const { return bytes.data() + r * row_bytes; }
  WeightRows rows_from(std::int64_t first, std::int64_t count) const {
    return {row(first), static_cast<std::int64_t>(row_bytes), count, row(first + count)};
  }
  std::vector<float> decode(std::int64_t r) const {
    std::vector<float> values(columns);
    codec.decode_row(row(r), columns, values.data());
    return values;
  }
  // One for 16 columns.
  std::vector<double> shifts(std::int64_t r) const {
    std::vector<double> result;
    for (std::int64_t column = 0; column < columns; column += 16)
      result.push_back(shift_of(codec.type, row(r) + column / codec.block_elements * codec.block_bytes,
                                static_cast<int>(column % codec.block_elements)));
    return result;
  }
};

struct Tokens {
  std::int64_t columns;
  std::vector<float> f32;
  std::vector<Q8Group> q8;

  Tokens(const Kernels& kernels, std::int64_t rows, std::int64_t n_columns, std::vector<float> values)
      : columns(n_columns), f32(std::move(values)), q8(rows * q8_groups(n_columns)) {
    if (columns % 32 != 0) return;
    for (std::int64_t r = 0; r < rows; ++r)
      kernels.quantize(&f32[r * columns], 0, columns, &q8[r * q8_groups(columns)]);
  }
  Activations view(std::int64_t n, const std::int32_t* index = nullptr) const {
    return {n, columns, f32.data(), q8.data(), index};
  }
  Activations from_row(std::int64_t r) const {
    return {1, columns, &f32[r * columns], q8.data() + r * q8_groups(columns), nullptr};
  }
  // What a row's 8-bit form has in a column.
  double at(std::int64_t r, std::int64_t c) const {
    const Q8Group& group = q8[r * q8_groups(columns) + c / group_columns];
    return double{group.d[c % group_columns / q8_block]} * group.q[c % group_columns];
  }
};

// A dot product in fp64 and how far the kernel's fp32 may stray from it.
struct Expected {
  double value = 0.0;
  double tolerance = 0.0;
};

// Four running sums of C/4 products each, then two additions; twice the roundings where there is no fused
// multiply-add. Weights are decoded exactly. Every rounding is of a partial sum, at most Σ|w·x|.
Expected expect_exact(const Weights& w, std::int64_t r, const Tokens& x, std::int64_t row) {
  Expected e;
  double magnitude = 0.0;
  const std::vector<float> weights = w.decode(r);
  for (std::int64_t c = 0; c < w.columns; ++c) {
    const double term = double{weights[c]} * x.f32[row * w.columns + c];
    e.value += term;
    magnitude += std::abs(term);
  }
  e.tolerance = (w.columns / 4.0 + 4.0) * unit_roundoff * magnitude + w.columns * 0x1p-149;
  return e;
}

// The dequantised activations are d·q, so that only the kernel's rounding is left: a term of a sub-block is
// rounded at most 6 times on its way and then in every later addition, at most two for each sub-block of 32.
// What is rounded is scale·q·x and min·x on their own, at most (|w| + 2·|shift|)·|x| together.
Expected expect_fast(const Weights& w, std::int64_t r, const Tokens& x, std::int64_t row) {
  Expected e;
  double magnitude = 0.0;
  const std::vector<float> weights = w.decode(r);
  const std::vector<double> shifts = w.shifts(r);
  for (std::int64_t c = 0; c < w.columns; ++c) {
    const double activation = x.at(row, c);
    e.value += weights[c] * activation;
    magnitude += (std::abs(weights[c]) + 2.0 * shifts[c / 16]) * std::abs(activation);
  }
  e.tolerance = (w.columns / 16.0 + 8.0) * unit_roundoff * magnitude + w.columns * 0x1p-149;
  return e;
}

class KernelsTest : public testing::TestWithParam<std::tuple<const char*, TensorType>> {
 protected:
  void SetUp() override {
    kernels_ = find_kernels(std::get<0>(GetParam()));
    if (kernels_ == nullptr) GTEST_SKIP() << "this processor lacks " << std::get<0>(GetParam());
    codec_ = *quant::find_codec(std::get<1>(GetParam()));
    ASSERT_EQ(kernels_->isa, std::get<0>(GetParam()));
  }
  MatMul fast() const { return kernels_->fast(codec_->type); }
  MatMul exact() const { return kernels_->exact(codec_->type); }
  bool uses_q8() const { return reads_q8(codec_->type); }

  // Both numerics at one shape, against fp64, through an index and with gaps between output rows.
  void check_against_fp64(std::int64_t rows, std::int64_t columns, std::int64_t n, Fill fill,
                          std::vector<float> values) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << columns << " columns, " << n << " tokens");
    const Weights w(*codec_, rows, columns, fill, random_);
    const Tokens x(*kernels_, n, columns, std::move(values));
    std::vector<std::int32_t> index(n);
    for (std::int32_t& i : index) i = static_cast<std::int32_t>(random_() % n);
    const std::int64_t stride = rows + 3;
    constexpr float untouched = 12345.0f;
    for (const bool is_exact : {false, true}) {
      std::vector<float> out(n * stride, untouched);
      (is_exact ? exact() : fast())(w.rows_from(0, rows), x.view(n, index.data()), out.data(), stride);
      for (std::int64_t t = 0; t < n; ++t) {
        for (std::int64_t r = 0; r < rows; ++r) {
          const Expected e =
              is_exact || !uses_q8() ? expect_exact(w, r, x, index[t]) : expect_fast(w, r, x, index[t]);
          const double difference = std::abs(out[t * stride + r] - e.value);
          ASSERT_TRUE(difference <= e.tolerance)
              << (is_exact ? "exact" : "fast") << " row " << r << " token " << t << ": "
              << out[t * stride + r] << " instead of " << e.value << ", off by " << difference << " of "
              << e.tolerance;
        }
        for (std::int64_t r = rows; r < stride; ++r) ASSERT_EQ(out[t * stride + r], untouched);
      }
    }
  }

  const Kernels* kernels_ = nullptr;
  const quant::Codec* codec_ = nullptr;
  std::mt19937 random_{1};
};

TEST_P(KernelsTest, AgreesWithFp64AtManyShapes) {
  const std::int64_t unit = std::max<std::int64_t>(codec_->block_elements, 32);
  for (const std::int64_t columns : {unit, 3 * unit, 9 * unit})
    for (const std::int64_t rows : {1, 5, 16, 37})
      for (std::int64_t n = 1; n <= 9; ++n)
        check_against_fp64(rows, columns, n, Fill::random, random_values(n * columns, random_));
  check_against_fp64(19, 2048, 3, Fill::random, random_values(3 * 2048, random_));
  check_against_fp64(17, 512, 70, Fill::random, random_values(70 * 512, random_));
}

TEST_P(KernelsTest, SurvivesExtremeBlocks) {
  for (const Fill fill : {Fill::largest, Fill::subnormal}) {
    check_against_fp64(33, 768, 4, fill, random_values(4 * 768, random_));
    // Every 8-bit activation at ±127: the largest integer sums there are.
    for (const float value : {1.0f, -1.0f})
      check_against_fp64(33, 768, 2, fill, std::vector<float>(2 * 768, value));
  }
}

// F32, F16 and BF16: other rows are whole blocks.
class FloatRowsTest : public KernelsTest {};

TEST_P(FloatRowsTest, MayHaveAnyNumberOfColumns) {
  for (const std::int64_t columns : {1, 2, 3, 7, 9, 255, 261})
    for (const std::int64_t rows : {1, 16, 21})
      check_against_fp64(rows, columns, 3, Fill::random, random_values(3 * columns, random_));
}

TEST_P(KernelsTest, AnOutputDependsOnNothingButItsRowAndToken) {
  constexpr std::int64_t rows = 37, columns = 768, n = 39;
  const Weights w(*codec_, rows, columns, Fill::random, random_);
  const Tokens x(*kernels_, n, columns, random_values(n * columns, random_));
  for (const MatMul matmul : {fast(), exact()}) {
    std::vector<float> together(n * rows);
    matmul(w.rows_from(0, rows), x.view(n), together.data(), rows);
    for (std::int64_t t = 0; t < n; ++t) {
      std::vector<float> token(rows);
      matmul(w.rows_from(0, rows), x.from_row(t), token.data(), rows);
      for (std::int64_t r = 0; r < rows; ++r)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(token[r]),
                  std::bit_cast<std::uint32_t>(together[t * rows + r]))
            << "token " << t << " alone, row " << r;
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      std::vector<float> alone(n);
      matmul(w.rows_from(r, 1), x.view(n), alone.data(), 1);
      for (std::int64_t t = 0; t < n; ++t)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(alone[t]),
                  std::bit_cast<std::uint32_t>(together[t * rows + r]))
            << "row " << r << " alone, token " << t;
    }
  }
}

// What has fused multiply-adds rounds alike: the same bits on every processor. Elsewhere only the integers
// are the same.
TEST_P(KernelsTest, EveryInstructionSetGivesTheSameBits) {
  if (kernels_->isa == "portable") GTEST_SKIP() << "it has no fused multiply-add";
  constexpr std::int64_t rows = 37, columns = 2304, n = 9;
  const Weights w(*codec_, rows, columns, Fill::random, random_);
  const std::vector<float> values = random_values(n * columns, random_);
  const Tokens x(*kernels_, n, columns, values);
  for (const char* isa : isa_names()) {
    const Kernels* other = find_kernels(isa);
    if (other == nullptr) continue;
    const Tokens y(*other, n, columns, values);
    ASSERT_EQ(std::memcmp(x.q8.data(), y.q8.data(), x.q8.size() * sizeof(Q8Group)), 0) << isa;
    if (other->isa == "portable") continue;
    for (const bool is_exact : {false, true}) {
      std::vector<float> ours(n * rows), theirs(n * rows);
      (is_exact ? exact() : fast())(w.rows_from(0, rows), x.view(n), ours.data(), rows);
      (is_exact ? other->exact(codec_->type) : other->fast(codec_->type))(w.rows_from(0, rows), y.view(n),
                                                                          theirs.data(), rows);
      ASSERT_EQ(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)), 0) << isa;
    }
  }
}

// All but MXFP4, which has neither NaN nor infinity.
class PoisonedWeightsTest : public KernelsTest {};

TEST_P(PoisonedWeightsTest, PoisonTheirRowOnly) {
  constexpr std::int64_t rows = 19, columns = 768, bad_row = 11;
  for (const std::uint16_t upper_bits :
       {std::uint16_t{0x7E00}, std::uint16_t{0x7C00}, std::uint16_t{0xFC00}}) {
    Weights w(*codec_, rows, columns, Fill::random, random_);
    std::byte* block =
        w.bytes.data() + bad_row * w.row_bytes + w.row_bytes / 2 / codec_->block_bytes * codec_->block_bytes;
    if (codec_->type == TensorType::F32 || codec_->type == TensorType::BF16) {
      const float bad = quant::to_float(std::bit_cast<quant::Half>(upper_bits));
      const quant::Bfloat16 narrow = quant::to_bfloat16(bad);
      std::memcpy(block, codec_->type == TensorType::F32 ? static_cast<const void*>(&bad) : &narrow,
                  codec_->block_bytes);
    } else {
      test::set_half(codec_->type, test::half_fields(codec_->type).front(), upper_bits, block);
    }
    const Tokens x(*kernels_, 5, columns, random_values(5 * columns, random_));
    for (const MatMul matmul : {fast(), exact()}) {
      std::vector<float> out(5 * rows);
      matmul(w.rows_from(0, rows), x.view(5), out.data(), rows);
      for (std::int64_t t = 0; t < 5; ++t)
        for (std::int64_t r = 0; r < rows; ++r)
          ASSERT_EQ(std::isfinite(out[t * rows + r]), r != bad_row) << "row " << r << " token " << t;
    }
  }
}

TEST_P(KernelsTest, NanAndInfinityInATokenPoisonThatTokenOnly) {
  constexpr std::int64_t rows = 19, columns = 768, n = 6, bad_token = 4;
  const Weights w(*codec_, rows, columns, Fill::random, random_);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    auto values = random_values(n * columns, random_);
    values[bad_token * columns + 333] = bad;
    const Tokens x(*kernels_, n, columns, std::move(values));
    for (const MatMul matmul : {fast(), exact()}) {
      std::vector<float> out(n * rows);
      matmul(w.rows_from(0, rows), x.view(n), out.data(), rows);
      for (std::int64_t t = 0; t < n; ++t)
        for (std::int64_t r = 0; r < rows; ++r)
          ASSERT_EQ(std::isfinite(out[t * rows + r]), t != bad_token) << "row " << r << " token " << t;
    }
  }
}

template <typename F>
auto each_isa_with_types(F&& wanted) {
  std::vector<TensorType> types;
  for (const quant::Codec& codec : quant::all_codecs())
    if (is_built(codec.type) && wanted(codec.type)) types.push_back(codec.type);
  return testing::Combine(testing::ValuesIn(isa_names()), testing::ValuesIn(types));
}
std::string name_of(const testing::TestParamInfo<std::tuple<const char*, TensorType>>& info) {
  return test_name_of(std::get<0>(info.param)) + "_" + std::string(gguf::info(std::get<1>(info.param)).name);
}
INSTANTIATE_TEST_SUITE_P(Isas, KernelsTest, each_isa_with_types([](TensorType) { return true; }), name_of);
INSTANTIATE_TEST_SUITE_P(Isas, FloatRowsTest,
                         each_isa_with_types([](TensorType type) { return !reads_q8(type); }), name_of);
INSTANTIATE_TEST_SUITE_P(Isas, PoisonedWeightsTest,
                         each_isa_with_types([](TensorType type) { return type != TensorType::MXFP4; }),
                         name_of);

}  // namespace
}  // namespace trine::cpu
