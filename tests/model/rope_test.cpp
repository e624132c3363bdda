#include "model/weights.h"

#include <gtest/gtest.h>
#include <cmath>

namespace trine::model {
namespace {

// The expected numbers come from numpy in float64, with the formulas of _compute_yarn_parameters in Hugging
// Face transformers (modeling_rope_utils.py):
//   corr = lambda r: dim * log(orig / (r * 2 * pi)) / (2 * log(base))
//   low, high = max(floor(corr(beta_fast)), 0), min(ceil(corr(beta_slow)), dim - 1)
//   pos = base ** (arange(0, dim, 2) / dim)
//   keep = 1 - clip((arange(dim // 2) - low) / (high - low), 0, 1)
//   inv_freq = 1 / (factor * pos) * (1 - keep) + 1 / pos * keep
// Both sides do a handful of float64 operations and one power, each good to a few units in the last place.
constexpr double tolerance = 1e-13;

struct Expected {
  std::size_t pair;
  double frequency;
};

void expect_frequencies(const RopeTable& table, std::initializer_list<Expected> expected) {
  for (const auto& [pair, frequency] : expected) {
    ASSERT_LT(pair, table.frequencies.size());
    const double difference = std::abs(table.frequencies[pair] - frequency) / frequency;
    EXPECT_LE(difference, tolerance) << "pair " << pair << ": " << table.frequencies[pair];
  }
}

Config config_of(std::int32_t head_dim, double theta) {
  Config config;
  config.head_dim = head_dim;
  config.rope_theta = theta;
  return config;
}

TEST(RopeTable, Plain) {
  const RopeTable table = rope_table(config_of(128, 1e6));
  EXPECT_EQ(table.frequencies.size(), 64u);
  EXPECT_EQ(table.scale, 1.0);
  expect_frequencies(table, {{0, 1.0}, {1, 0.8058421877614819}, {32, 0.001}, {63, 1.2409377607517195e-06}});
}

TEST(RopeTable, LinearStretchesEveryPair) {
  Config config = config_of(128, 1e6);
  config.rope_scaling.kind = RopeScaling::Kind::linear;
  config.rope_scaling.factor = 4;
  const RopeTable table = rope_table(config);
  EXPECT_EQ(table.scale, 1.0);
  expect_frequencies(table, {{0, 0.25}, {32, 0.00025}, {63, 1.2409377607517195e-06 / 4}});
}

// Qwen3 as its model card extends it: factor 4 over 32768 positions. The ramp runs over pairs 23 to 40.
TEST(RopeTable, YarnOfQwen3) {
  Config config = config_of(128, 1e6);
  config.rope_scaling.kind = RopeScaling::Kind::yarn;
  config.rope_scaling.factor = 4;
  config.rope_scaling.original_context_length = 32768;
  config.rope_scaling.attention_factor = 1.138629436111989;
  const RopeTable table = rope_table(config);
  EXPECT_EQ(table.scale, 1.138629436111989);
  expect_frequencies(table, {{0, 1.0},
                             {1, 0.8058421877614819},
                             {20, 0.01333521432163324},
                             {23, 0.006978305848598663},
                             {24, 0.005375321490790102},
                             {30, 0.0010643609812470017},
                             {38, 9.262301704129459e-05},
                             {39, 6.490394320837028e-05},
                             {40, 4.445698525097307e-05},
                             {50, 5.133812566142866e-06},
                             {63, 3.102344401879299e-07}});
}

TEST(RopeTable, YarnWithOtherBetas) {
  Config config = config_of(64, 1e7);
  config.rope_scaling.kind = RopeScaling::Kind::yarn;
  config.rope_scaling.factor = 2.5;
  config.rope_scaling.original_context_length = 8192;
  config.rope_scaling.beta_fast = 16;
  config.rope_scaling.beta_slow = 2;
  expect_frequencies(rope_table(config), {{0, 1.0},
                                          {1, 0.6042963902381328},
                                          {10, 0.004935300399979206},
                                          {20, 1.686786013714329e-05},
                                          {24, 2.249365300761396e-06},
                                          {31, 6.619268399772726e-08}});
}

// A context so short that low meets high must not divide by zero.
TEST(RopeTable, YarnOverATinyContextStaysFinite) {
  for (const std::int64_t context : {1, 2, 6, 7, 200}) {
    Config config = config_of(16, 10000);
    config.rope_scaling.kind = RopeScaling::Kind::yarn;
    config.rope_scaling.factor = 4;
    config.rope_scaling.original_context_length = context;
    for (const double frequency : rope_table(config).frequencies) {
      EXPECT_TRUE(std::isfinite(frequency)) << context;
      EXPECT_GT(frequency, 0) << context;
    }
  }
}

}  // namespace
}  // namespace trine::model
