#include "quant/random.h"

#include "quant/codec.h"

#include <gtest/gtest.h>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace trine::quant {
namespace {

using gguf::TensorType;

std::vector<std::byte> random_blocks(TensorType type, double deviation, RandomStream stream,
                                     std::uint64_t first, std::size_t blocks) {
  std::vector<std::byte> bytes(blocks * gguf::info(type).block_bytes);
  const auto filled = fill_random(type, deviation, stream, first, bytes);
  EXPECT_TRUE(filled) << to_string(filled.error());
  return bytes;
}

std::vector<float> decoded(TensorType type, const std::vector<std::byte>& bytes) {
  const Codec& codec = **find_codec(type);
  std::vector<float> values(bytes.size() / codec.block_bytes * codec.block_elements);
  codec.decode_row(bytes.data(), values.size(), values.data());
  return values;
}

constexpr TensorType types[] = {TensorType::F32, TensorType::Q4_K, TensorType::Q6_K};

// A million values: the sampling error of mean and deviation is near 0.1 %, far inside what the header
// promises.
TEST(FillRandom, HasTheMeanAndDeviationAskedFor) {
  for (const TensorType type : types) {
    // 1/sqrt of 768, 2048, 4096: what a model of these widths needs; and far larger and smaller.
    for (const double deviation : {0.036084, 0.022097, 0.015625, 1.0, 1000.0, 0.009}) {
      SCOPED_TRACE(testing::Message() << gguf::info(type).name << " " << deviation);
      const std::size_t blocks = (1u << 20) / gguf::info(type).block_elements;
      double sum = 0;
      double squares = 0;
      const auto values = decoded(type, random_blocks(type, deviation, {5, 6}, 0, blocks));
      for (const float v : values) {
        sum += v;
        squares += double{v} * v;
      }
      const auto n = static_cast<double>(values.size());
      const double sampling_error = 5 / std::sqrt(n / 32);  // sub-blocks of 32 share a mean in Q4_K
      EXPECT_LT(std::abs(sum / n), (0.001 + sampling_error) * deviation);
      EXPECT_NEAR(std::sqrt(squares / n), deviation, 0.01 * deviation);
    }
  }
}

TEST(FillRandom, EveryBlockIsTheSameInWhateverPiecesItIsAskedFor) {
  for (const TensorType type : types) {
    const auto whole = random_blocks(type, 0.02, {1, 2}, 0, 64);
    std::vector<std::byte> pieces;
    std::uint64_t first = 0;
    for (const std::size_t count : {1u, 2u, 30u, 31u}) {
      const auto piece = random_blocks(type, 0.02, {1, 2}, first, count);
      first += count;
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(whole, pieces) << gguf::info(type).name;
  }
}

TEST(FillRandom, SeedStreamAndBlockAllMatter) {
  for (const TensorType type : types) {
    std::set<std::string> seen;
    for (const std::uint64_t seed : {0ull, 1ull, 1ull << 32}) {
      for (const std::uint32_t stream : {0u, 1u, 0x80000000u}) {
        for (const std::uint64_t first : {0ull, 8ull, 1ull << 34}) {
          const auto blocks = random_blocks(type, 0.02, {seed, stream}, first, 8);
          EXPECT_TRUE(seen.emplace(reinterpret_cast<const char*>(blocks.data()), blocks.size()).second)
              << gguf::info(type).name << " " << seed << " " << stream << " " << first;
        }
      }
    }
  }
}

TEST(FillRandom, RefusesWhatItCannotMake) {
  std::vector<std::byte> bytes(210 * 144);
  const auto other = fill_random(TensorType::Q8_0, 0.02, {}, 0, bytes);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::unsupported);
  for (const double deviation : {0.0, 1e-5, 1e9, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    for (const TensorType type : {TensorType::Q4_K, TensorType::Q6_K}) {
      const auto refused = fill_random(type, deviation, {}, 0, bytes);
      ASSERT_FALSE(refused) << deviation;
      EXPECT_EQ(refused.error().code, ErrorCode::validation_failed);
    }
  }
}

}  // namespace
}  // namespace trine::quant
