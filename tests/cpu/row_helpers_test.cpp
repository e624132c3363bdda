#include "cpu/kernels/kernels.h"
#include "quant/codec.h"
#include "quant/float.h"

#include "kernel_helpers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

// The row helpers beside the matrix products (quantising, dot products, halves), and how kernels are found.

namespace trine::cpu {
namespace {

using gguf::TensorType;

class VectorsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    kernels_ = find_kernels(GetParam());
    if (kernels_ == nullptr) GTEST_SKIP() << "this processor lacks " << GetParam();
  }
  const Kernels* kernels_ = nullptr;
  std::mt19937 random_{2};
};

TEST_P(VectorsTest, QuantizesRowsToTheSameBits) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  constexpr float largest = std::numeric_limits<float>::max();
  std::vector<float> x = random_values(32 * 64, random_);
  for (int i = 0; i < 32; ++i) {
    x[i] = 0.0f;
    x[32 + i] = i % 2 == 0 ? largest : -largest;
    x[64 + i] =
        (i % 2 == 0 ? 0x1p-149f : -0x1p-149f) * static_cast<float>(6 * i);  // d is rounded: |x/d| > 127
    x[96 + i] = -0x1p-149f;                                                 // d rounds to zero
    x[128 + i] = static_cast<float>(i - 16) + 0.5f;                         // ties, with d = 1 …
    x[160 + i] = 1e-40f * static_cast<float>(i - 20);
    x[192 + i] = -3.0f;
  }
  x[128] = 127.0f;
  x[224 + 17] = std::numeric_limits<float>::quiet_NaN();
  x[256 + 3] = infinity;
  x[288 + 31] = -infinity;
  const auto n = static_cast<std::int64_t>(x.size());
  // In two calls, the second from the middle of a group on.
  std::vector<Q8Group> row(q8_groups(n));
  std::memset(row.data(), 99, row.size() * sizeof row[0]);
  kernels_->quantize(x.data(), 0, 352, row.data());
  kernels_->quantize(x.data() + 352, 352, n - 352, row.data());
  for (std::int64_t block = 0; block < n / 32; ++block) {
    SCOPED_TRACE(block);
    const Q8Group& group = row[block / 8];
    const std::int64_t at = block % 8;
    const std::int8_t* q = group.q + 32 * at;
    const float d = group.d[at];
    if (block >= 7 && block <= 9) {
      EXPECT_TRUE(std::isnan(d) && std::isnan(group.sums[at]) && std::isnan(group.half_sums[0][at]) &&
                  std::isnan(group.half_sums[1][at]));
      for (int i = 0; i < 32; ++i) EXPECT_EQ(q[i], 0);
      continue;
    }
    float magnitude = 0.0f;
    for (int i = 0; i < 32; ++i) magnitude = std::max(magnitude, std::abs(x[32 * block + i]));
    EXPECT_EQ(d, magnitude / 127.0f);
    int both = 0;
    for (int half = 0; half < 2; ++half) {
      int sum = 0;
      for (int i = 16 * half; i < 16 * half + 16; ++i) {
        const float ratio = d == 0.0f ? 0.0f : x[32 * block + i] / d;
        EXPECT_EQ(q[i], std::clamp(std::nearbyint(ratio), -127.0f, 127.0f)) << "value " << i;
        sum += q[i];
      }
      EXPECT_EQ(group.half_counts[half][at], sum);
      EXPECT_EQ(group.half_sums[half][at], d * static_cast<float>(sum));
      both += sum;
    }
    EXPECT_EQ(group.counts[at], both);
    EXPECT_EQ(group.sums[at], d * static_cast<float>(both));
  }
}

TEST_P(VectorsTest, DotProductsAgreeWithFp64) {
  for (std::int64_t n = 0; n <= 130; ++n) {
    SCOPED_TRACE(n);
    const std::vector<float> a = random_values(n, random_), b = random_values(n, random_);
    double dot = 0.0, magnitude = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
      dot += double{a[i]} * b[i];
      magnitude += std::abs(double{a[i]} * b[i]);
    }
    // No order of n products and additions errs by more.
    const double tolerance = (n + 2) * unit_roundoff * magnitude;
    EXPECT_TRUE(std::abs(kernels_->dot_f32(a.data(), b.data(), n) - dot) <= tolerance);
  }
}

// silu(gate) · up in fp64; the exponential errs by 1.25 units, sum, division and product by half a unit each.
// Below −88.72, where the exponential has left the range of a float, 0 stands for what is less than 2.7e-37.
TEST_P(VectorsTest, SwigluAgreesWithFp64) {
  for (std::int64_t n = 0; n <= 50; ++n) {
    SCOPED_TRACE(n);
    std::vector<float> gate = random_values(n, random_);
    const std::vector<float> up = random_values(n, random_);
    for (std::int64_t i = 0; i < n; ++i) gate[i] *= i % 3 == 0 ? 30.0f : 4.0f;
    std::vector<float> out(static_cast<std::size_t>(n + 1), 7.0f);
    kernels_->swiglu(gate.data(), up.data(), out.data(), n);
    for (std::int64_t i = 0; i < n; ++i) {
      const double expected = double{gate[i]} / (1.0 + std::exp(-double{gate[i]})) * up[i];
      const double lost = gate[i] < -88.7f ? 2.7e-37 * std::abs(up[i]) : 0x1p-149;
      EXPECT_NEAR(out[i], expected, 3 * 2 * unit_roundoff * std::abs(expected) + lost) << gate[i];
    }
    EXPECT_EQ(out[n], 7.0f);
  }
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float gate[] = {-200.0f, -87.0f, -infinity, infinity, std::numeric_limits<float>::quiet_NaN(), 0.0f};
  const float up[] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 5.0f};
  float out[6];
  kernels_->swiglu(gate, up, out, 6);
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_NEAR(out[1], -87.0 / (1.0 + std::exp(87.0)), 1e-41);
  EXPECT_TRUE(std::isnan(out[2]));  // −∞ / ∞, as in any order of IEEE operations
  EXPECT_EQ(out[3], infinity);
  EXPECT_TRUE(std::isnan(out[4]));
  EXPECT_EQ(out[5], 0.0f);
}

TEST_P(VectorsTest, HalvesAreRoundedToNearestEven) {
  std::vector<float> x = random_values(100, random_);
  for (const float value :
       {0.0f, -0.0f, 65504.0f, 65519.0f, 65520.0f, 1e9f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 0x1.ffcp-15f,
        1.0f + 0x1p-11f, 1.0f + 0x1.8p-10f, -std::numeric_limits<float>::infinity()})
    for (int i = 0; i < 17; ++i) x.push_back(value);
  std::vector<std::uint16_t> halves(x.size());
  kernels_->to_f16(x.data(), halves.data(), static_cast<std::int64_t>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_EQ(halves[i], quant::bits_of(quant::to_half(x[i]))) << x[i];

  const std::vector<float> nans(20, std::numeric_limits<float>::quiet_NaN());
  kernels_->to_f16(nans.data(), halves.data(), 20);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE((halves[i] & 0x7FFF) > 0x7C00);
}

INSTANTIATE_TEST_SUITE_P(Isas, VectorsTest, testing::ValuesIn(isa_names()),
                         [](const auto& info) { return test_name_of(info.param); });

TEST(FindKernels, KnowsOnlyItsNames) {
  EXPECT_EQ(find_kernels("sse9"), nullptr);
  EXPECT_EQ(find_kernels("portable"), &portable_kernels());
  ASSERT_NE(find_kernels(""), nullptr);
  // The best is the last of those that the processor has.
  const Kernels* best = nullptr;
  for (const char* isa : isa_names())
    if (find_kernels(isa) != nullptr) best = find_kernels(isa);
  EXPECT_EQ(find_kernels(""), best);
}

TEST(ReadsQ8, BlockTypesOnly) {
  for (const quant::Codec& codec : quant::all_codecs()) {
    const bool is_float =
        codec.type == TensorType::F32 || codec.type == TensorType::F16 || codec.type == TensorType::BF16;
    EXPECT_EQ(reads_q8(codec.type), !is_float) << gguf::info(codec.type).name;
  }
}

}  // namespace
}  // namespace trine::cpu
