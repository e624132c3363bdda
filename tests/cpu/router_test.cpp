#include "cpu/router.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace trine::cpu {
namespace {

struct Choice {
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
};

Choice choose(const std::vector<float>& logits, std::size_t k) {
  Choice choice{std::vector<std::int32_t>(k, -1), std::vector<float>(k, -1)};
  choose_experts(logits.data(), static_cast<std::int64_t>(logits.size()), static_cast<std::int64_t>(k),
                 choice.ids.data(), choice.weights.data());
  return choice;
}

// The definition: softmax over all in fp64, top-k by probability with ties to the lower id, renormalised.
TEST(Router, FollowsTheDefinition) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 3);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> logits(128);
    for (float& l : logits) l = normal(random);
    const Choice choice = choose(logits, 8);
    std::vector<std::int32_t> order(128);
    for (std::int32_t i = 0; i < 128; ++i) order[static_cast<std::size_t>(i)] = i;
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
      return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    double total = 0, chosen = 0;
    for (const float l : logits) total += std::exp(double(l));
    for (int i = 0; i < 8; ++i)
      chosen += std::exp(double(logits[static_cast<std::size_t>(order[i])])) / total;
    double sum = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(choice.ids[i], order[i]);
      const double p = std::exp(double(logits[static_cast<std::size_t>(order[i])])) / total;
      EXPECT_NEAR(choice.weights[i], p / chosen, 1e-6);  // fp32 exp and division
      sum += choice.weights[i];
    }
    EXPECT_NEAR(sum, 1.0, 1e-6);
  }
}

TEST(Router, TiesGoToTheLowerId) {
  EXPECT_EQ(choose({1, 5, 5, 5, 0}, 2).ids, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(choose({5, 1, 5, 7, 5}, 3).ids, (std::vector<std::int32_t>{3, 0, 2}));
}

TEST(Router, ZeroRouterGivesEqualShares) {
  const Choice choice = choose(std::vector<float>(16, 0.0f), 4);
  EXPECT_EQ(choice.ids, (std::vector<std::int32_t>{0, 1, 2, 3}));
  for (const float w : choice.weights) EXPECT_FLOAT_EQ(w, 0.25f);
}

TEST(Router, LargeLogitsStayFinite) {
  const Choice choice = choose({1000, -1000, 999, 1000}, 3);
  EXPECT_EQ(choice.ids, (std::vector<std::int32_t>{0, 3, 2}));
  float sum = 0;
  for (const float w : choice.weights) sum += w;
  EXPECT_NEAR(sum, 1.0f, 1e-6f);
}

TEST(Router, NanShowsInTheWeightsAndIdsStayValid) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t at = 0; at < 6; ++at) {
    std::vector<float> logits = {3, 1, 2, 6, 5, 4};
    logits[at] = nan;
    const Choice choice = choose(logits, 3);
    for (const float w : choice.weights) EXPECT_TRUE(std::isnan(w));
    EXPECT_EQ(std::set<std::int32_t>(choice.ids.begin(), choice.ids.end()).size(), 3u);
    for (const std::int32_t id : choice.ids) EXPECT_TRUE(id >= 0 && id < 6);
  }
}

}  // namespace
}  // namespace trine::cpu
