#include "sampling/sampler.h"

#include "base/random.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace trine::sampling {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// Everything off, temperature 1: the plain softmax.
SamplingParams plain(std::uint64_t seed = 1) {
  SamplingParams params;
  params.temperature = 1;
  params.seed = seed;
  return params;
}

// Logits whose softmax at temperature 1 is proportional to `odds`.
std::vector<float> logits_of(std::initializer_list<double> odds) {
  std::vector<float> logits;
  for (const double p : odds) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

std::vector<int> histogram(const SamplingParams& params, const std::vector<float>& logits, int draws) {
  Sampler sampler(params);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) {
    const auto token = sampler.sample(logits);
    EXPECT_TRUE(token) << to_string(token.error());
    if (!token) return counts;
    ++counts[static_cast<std::size_t>(*token)];
  }
  return counts;
}

std::set<std::size_t> drawn(const SamplingParams& params, const std::vector<float>& logits,
                            int draws = 4000) {
  std::set<std::size_t> ids;
  const std::vector<int> counts = histogram(params, logits, draws);
  for (std::size_t id = 0; id < counts.size(); ++id) {
    if (counts[id] > 0) ids.insert(id);
  }
  return ids;
}

double chi_square(const std::vector<int>& counts, const std::vector<double>& odds) {
  const double draws = std::accumulate(counts.begin(), counts.end(), 0.0);
  const double whole = std::accumulate(odds.begin(), odds.end(), 0.0);
  double sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = draws * odds[i] / whole;
    if (expected == 0) {
      EXPECT_EQ(counts[i], 0) << i;
      continue;
    }
    sum += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  return sum;
}

// Critical values of chi-square at significance 0.001, by degrees of freedom (standard tables). Seeds are
// fixed, so a test that passes keeps passing.
constexpr double critical[] = {0, 10.828, 13.816, 16.266, 18.467, 20.515};
constexpr int many = 100000;

std::int32_t greedy(SamplingParams params, const std::vector<float>& logits,
                    const std::vector<std::int32_t>& prompt = {}) {
  params.temperature = 0;
  Sampler sampler(params);
  sampler.accept_prompt(prompt);
  return sampler.sample(logits).value();
}

TEST(Greedy, TakesTheBestAndTheLowerIdOnTies) {
  EXPECT_EQ(greedy({}, {1, 3, 2}), 1);
  EXPECT_EQ(greedy({}, {1, 3, 3, 3}), 1);
  EXPECT_EQ(greedy({}, {-inf, -5, -inf}), 1);
  EXPECT_EQ(greedy({}, {-0.0f, 0.0f}), 0);
}

TEST(Greedy, TopKOneIsGreedyAtAnyTemperature) {
  SamplingParams params = plain();
  params.temperature = 50;
  params.top_k = 1;
  EXPECT_EQ(drawn(params, {1.0f, 1.5f, 1.5f, 0}), (std::set<std::size_t>{1}));
}

TEST(Temperature, ScalesTheOddsAsAPower) {
  SamplingParams params = plain();
  EXPECT_LT(chi_square(histogram(params, logits_of({1, 2, 4}), many), {1, 2, 4}), critical[2]);
  params.temperature = 2;
  EXPECT_LT(chi_square(histogram(params, logits_of({1, 4, 16}), many), {1, 2, 4}), critical[2]);
  params.temperature = 0.5f;
  EXPECT_LT(chi_square(histogram(params, logits_of({1, 2, 4}), many), {1, 4, 16}), critical[2]);
}

TEST(Temperature, TinyIsFiniteAndGreedy) {
  SamplingParams params = plain();
  params.temperature = 1e-38f;
  EXPECT_EQ(drawn(params, {5, 5.0001f, -inf, 4}, 200), (std::set<std::size_t>{1}));
}

// The test of the tests: a distribution that is off by a tenth is told from the right one.
TEST(Temperature, ChiSquareHasPower) {
  EXPECT_GT(chi_square(histogram(plain(), logits_of({1.1, 2, 4}), many), {1, 2, 4}), critical[2]);
}

TEST(TopK, KeepsTheKBestRenormalised) {
  SamplingParams params = plain();
  params.top_k = 2;
  EXPECT_LT(chi_square(histogram(params, logits_of({1, 5, 2, 3}), many), {0, 5, 0, 3}), critical[1]);
}

TEST(TopK, TiesKeepTheLowerIds) {
  SamplingParams params = plain();
  params.top_k = 3;
  EXPECT_EQ(drawn(params, {1, 2, 1, 1, 1}), (std::set<std::size_t>{0, 1, 2}));
}

TEST(TopK, AtLeastTheVocabularyIsOff) {
  for (const std::int32_t k : {4, 5, 1000, std::numeric_limits<std::int32_t>::max()}) {
    SamplingParams params = plain();
    params.top_k = k;
    EXPECT_LT(chi_square(histogram(params, logits_of({1, 2, 3, 4}), many), {1, 2, 3, 4}), critical[3]) << k;
  }
}

TEST(TopP, KeepsTheSmallestSetThatReachesP) {
  const std::vector<float> logits = logits_of({0.125, 0.5, 0.125, 0.25});
  const auto kept = [&](float p) {
    SamplingParams params = plain();
    params.top_p = p;
    return drawn(params, logits);
  };
  EXPECT_EQ(kept(0), (std::set<std::size_t>{1}));
  EXPECT_EQ(kept(0.49f), (std::set<std::size_t>{1}));
  EXPECT_EQ(kept(0.51f), (std::set<std::size_t>{1, 3}));
  EXPECT_EQ(kept(0.74f), (std::set<std::size_t>{1, 3}));
  EXPECT_EQ(kept(0.76f), (std::set<std::size_t>{0, 1, 3}));  // of the two at 0.125, the lower id
  EXPECT_EQ(kept(0.88f), (std::set<std::size_t>{0, 1, 2, 3}));
  EXPECT_EQ(kept(1), (std::set<std::size_t>{0, 1, 2, 3}));
}

TEST(TopP, WhatIsLeftIsRenormalised) {
  SamplingParams params = plain();
  params.top_p = 0.7f;
  EXPECT_LT(chi_square(histogram(params, logits_of({1, 5, 1, 3}), many), {0, 5, 0, 3}), critical[1]);
}

TEST(TopP, ZeroTakesTheLowerOfTwoBest) {
  SamplingParams params = plain();
  params.top_p = 0;
  EXPECT_EQ(drawn(params, {1, 2, 2}), (std::set<std::size_t>{1}));
}

TEST(MinP, DropsWhatIsBelowItsShareOfTheBest) {
  SamplingParams params = plain();
  params.min_p = 0.3f;
  EXPECT_LT(chi_square(histogram(params, logits_of({2, 10, 4, 1}), many), {0, 10, 4, 0}), critical[1]);
}

TEST(MinP, OneKeepsOnlyTheBestAndItsTies) {
  SamplingParams params = plain();
  params.min_p = 1;
  EXPECT_EQ(drawn(params, {1, 2, 2, 1.999f}), (std::set<std::size_t>{1, 2}));
}

TEST(Order, TemperatureComesBeforeTheFilters) {
  // Odds 9:1. At temperature 2 they are 3:1, so 0.8 is only reached by both; min-p 0.2 keeps both as well.
  SamplingParams params = plain();
  const std::vector<float> logits = logits_of({9, 1});
  params.top_p = 0.8f;
  EXPECT_EQ(drawn(params, logits), (std::set<std::size_t>{0}));
  params.temperature = 2;
  EXPECT_EQ(drawn(params, logits), (std::set<std::size_t>{0, 1}));
  params.top_p = 1;
  params.min_p = 0.2f;
  EXPECT_EQ(drawn(params, logits), (std::set<std::size_t>{0, 1}));
}

TEST(Order, TopPSeesWhatTopKLeft) {
  // 0.4 alone does not reach 0.5 of the whole, but it does of the 0.4 + 0.3 that top-k leaves.
  SamplingParams params = plain();
  params.top_p = 0.5f;
  const std::vector<float> logits = logits_of({0.4, 0.3, 0.2, 0.1});
  EXPECT_EQ(drawn(params, logits), (std::set<std::size_t>{0, 1}));
  params.top_k = 2;
  EXPECT_EQ(drawn(params, logits), (std::set<std::size_t>{0}));
}

TEST(Order, MinPDoesNotChangeWhatTopPSees) {
  // Were min-p first, 5:3 would be left and 5/8 would reach 0.6 alone.
  SamplingParams params = plain();
  params.top_p = 0.6f;
  params.min_p = 0.5f;
  EXPECT_EQ(drawn(params, logits_of({5, 3, 1, 1})), (std::set<std::size_t>{0, 1}));
}

TEST(Order, BiasComesAfterThePenalties) {
  SamplingParams params;
  params.repeat_penalty = 2;
  params.logit_bias = {{0, 1.0f}};
  // 1/2 + 1 = 1.5 beats 1.2; (1 + 1)/2 = 1 would not.
  EXPECT_EQ(greedy(params, {1.0f, 1.2f}, {0}), 0);
}

TEST(Penalties, RepeatDividesPositiveAndMultipliesNegative) {
  SamplingParams params;
  params.repeat_penalty = 2;
  EXPECT_EQ(greedy(params, {4, 2.1f}, {0}), 1);  // 4/2 = 2
  EXPECT_EQ(greedy(params, {4, 1.9f}, {0}), 0);
  EXPECT_EQ(greedy(params, {-1, -1.9f}, {0}), 1);  // -1·2 = -2
  EXPECT_EQ(greedy(params, {-1, -2.1f}, {0}), 0);
  EXPECT_EQ(greedy(params, {4, 2.1f}, {0, 0, 0}), 1);  // once, however often seen
}

TEST(Penalties, RepeatLooksAtTheWindowOnly) {
  SamplingParams params;
  params.repeat_penalty = 10;
  params.penalty_window = 2;
  EXPECT_EQ(greedy(params, {3, 2, 1}, {0, 1}), 2);
  EXPECT_EQ(greedy(params, {3, 2, 1}, {0, 1, 1}), 0);
  EXPECT_EQ(greedy(params, {3, 2, 1}, {0, 0, 1}), 2);  // token 0 left the window once and is still in it
  params.penalty_window = 0;
  EXPECT_EQ(greedy(params, {3, 2, 1}, {0, 1}), 0);
  params.penalty_window = -1;
  EXPECT_EQ(greedy(params, {3, 2, 1}, std::vector<std::int32_t>(1000, 0)), 1);
}

TEST(Penalties, RepeatSeesGeneratedTokens) {
  SamplingParams params;
  params.temperature = 0;
  params.repeat_penalty = 10;
  params.penalty_window = 2;
  Sampler sampler(params);
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < 6; ++i) tokens.push_back(sampler.sample(std::vector<float>{3, 2, 1}).value());
  EXPECT_EQ(tokens, (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2}));
}

TEST(Penalties, PresenceCountsOnceAndFrequencyEachTime) {
  const std::vector<float> logits{3, 2, 0};
  const auto run = [&](float presence, float frequency) {
    SamplingParams params;
    params.temperature = 0;
    params.presence_penalty = presence;
    params.frequency_penalty = frequency;
    Sampler sampler(params);
    sampler.accept_prompt(std::vector<std::int32_t>{0, 0, 0, 1});  // the prompt does not count
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < 5; ++i) tokens.push_back(sampler.sample(logits).value());
    return tokens;
  };
  EXPECT_EQ(run(1.5f, 0), (std::vector<std::int32_t>{0, 1, 0, 0, 0}));  // then 1.5 against 0.5, for ever
  // 3 | 2.4 | 1.8 < 2: token 1 | 1.8 against 1.4 | 1.2 against 1.4: token 1
  EXPECT_EQ(run(0, 0.6f), (std::vector<std::int32_t>{0, 0, 1, 0, 1}));
}

TEST(LogitBias, AddsUpAndCanBan) {
  SamplingParams params = plain();
  params.logit_bias = {{0, 1.0f}, {0, static_cast<float>(std::log(8.0)) - 1.0f}, {3, -1000.0f}};
  EXPECT_LT(chi_square(histogram(params, logits_of({1, 4, 4, 99}), many), {8, 4, 4, 0}), critical[2]);
}

TEST(Seed, RepeatsWhateverElseTheProcessDoes) {
  const std::vector<float> logits(64, 0.0f);
  SamplingParams params = plain(99);
  const auto run = [&](bool disturb) {
    Sampler sampler(params);
    Sampler other(plain(5));
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < 50; ++i) {
      if (disturb) (void)other.sample(logits);
      tokens.push_back(sampler.sample(logits).value());
    }
    return tokens;
  };
  const auto first = run(false);
  EXPECT_EQ(first, run(true));
  params.seed = 100;
  EXPECT_NE(first, run(false));
}

TEST(Seed, TheNthDrawDependsOnNothingBeforeIt) {
  const std::vector<float> flat(64, 0.0f);
  const std::vector<float> steep{9, 1, 5, 2};
  Sampler a(plain(3));
  Sampler b(plain(3));
  for (int i = 0; i < 7; ++i) {
    (void)a.sample(flat);
    (void)b.sample(steep);
  }
  EXPECT_EQ(a.sample(flat).value(), b.sample(flat).value());
}

// A second implementation of the definition in sampler.h: everything sorted, everything in double.
std::int32_t by_definition(const SamplingParams& params, const std::vector<float>& logits, std::uint64_t n) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < order.size()) {
    order.resize(static_cast<std::size_t>(params.top_k));
  }
  const auto weight = [&](std::size_t id) {
    return std::exp((static_cast<double>(logits[id]) - logits[order[0]]) / params.temperature);
  };
  double total = 0;
  for (const std::size_t id : order) total += weight(id);
  double sum = 0;
  std::set<std::size_t> kept;
  for (const std::size_t id : order) {
    if (params.top_p < 1 && !kept.empty() && sum >= params.top_p * total) break;
    sum += weight(id);
    if (weight(id) >= params.min_p) kept.insert(id);
  }
  total = 0;
  for (const std::size_t id : kept) total += weight(id);
  const double target = uniform_at(params.seed, n) * total;
  sum = 0;
  for (const std::size_t id : kept) {
    sum += weight(id);
    if (sum > target) return static_cast<std::int32_t>(id);
  }
  return static_cast<std::int32_t>(*kept.rbegin());
}

TEST(Sampler, AgreesWithItsDefinitionOnAFullVocabulary) {
  struct Case {
    float spread, temperature;
    std::int32_t top_k;
    float top_p, min_p;
  };
  for (const Case& c : {Case{1, 1, 0, 1, 0}, Case{1, 0.7f, 0, 0.9f, 0}, Case{4, 0.7f, 20, 0.8f, 0},
                        Case{4, 1, 0, 0.95f, 0.01f}, Case{0, 1, 0, 0.5f, 0}, Case{1, 1, 100000, 1, 0},
                        Case{3, 1.5f, 5000, 0.99f, 0}, Case{3, 1, 151935, 0.1f, 0}}) {
    SCOPED_TRACE(testing::Message() << c.spread << " " << c.temperature << " " << c.top_k << " " << c.top_p);
    std::vector<float> logits(151936);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      // Irwin–Hall of 4, cut to steps of 1/64 so that ties are common.
      double sum = 0;
      for (std::uint64_t j = 0; j < 4; ++j) sum += uniform_at(1234, 4 * i + j);
      logits[i] = std::round(static_cast<float>(sum - 2) * 1.7f * c.spread * 64) / 64;
    }
    SamplingParams params = plain(77);
    params.temperature = c.temperature;
    params.top_k = c.top_k;
    params.top_p = c.top_p;
    params.min_p = c.min_p;
    Sampler sampler(params);
    for (std::uint64_t n = 0; n < 6; ++n)
      EXPECT_EQ(sampler.sample(logits).value(), by_definition(params, logits, n));
  }
}

TEST(Sampler, RefusesLogitsThatAreNoDistribution) {
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingParams params = plain();
    params.temperature = temperature;
    for (const std::vector<float>& bad :
         {std::vector<float>{1, nan, 2}, std::vector<float>{nan}, std::vector<float>{},
          std::vector<float>{-inf, -inf}, std::vector<float>{1, inf}}) {
      Sampler sampler(params);
      const auto token = sampler.sample(bad);
      ASSERT_FALSE(token);
      EXPECT_EQ(token.error().code, ErrorCode::inference);
    }
  }
}

TEST(Validate, AcceptsTheDefaultsAndEveryEdge) {
  EXPECT_TRUE(validate({}, 10));
  SamplingParams params;
  params.temperature = 0;
  params.top_p = 0;
  params.min_p = 1;
  params.top_k = std::numeric_limits<std::int32_t>::max();
  params.penalty_window = -1;
  params.logit_bias = {{0, -100.0f}, {9, 100.0f}};
  EXPECT_TRUE(validate(params, 10));
}

TEST(Validate, NamesParameterRangeAndValue) {
  const auto refused = [](auto change, const std::string& name, const std::string& range,
                          const std::string& actual) {
    SamplingParams params;
    change(params);
    const auto result = validate(params, 10);
    ASSERT_FALSE(result) << name;
    EXPECT_EQ(result.error().code, ErrorCode::usage);
    EXPECT_NE(result.error().what.find(name), std::string::npos) << result.error().what;
    EXPECT_EQ(result.error().where, name);
    EXPECT_EQ(result.error().expected, range);
    EXPECT_EQ(result.error().actual, actual);
  };
  using P = SamplingParams;
  refused([](P& p) { p.temperature = -0.5f; }, "temperature", "0 to 100", "-0.5");
  refused([](P& p) { p.temperature = nan; }, "temperature", "0 to 100", "nan");
  refused([](P& p) { p.temperature = inf; }, "temperature", "0 to 100", "inf");
  refused([](P& p) { p.top_k = -1; }, "top_k", "0 (off) or more", "-1");
  refused([](P& p) { p.top_p = 1.5f; }, "top_p", "0 to 1", "1.5");
  refused([](P& p) { p.top_p = nan; }, "top_p", "0 to 1", "nan");
  refused([](P& p) { p.min_p = -1; }, "min_p", "0 to 1", "-1");
  refused([](P& p) { p.repeat_penalty = 0; }, "repeat_penalty", "above 0, up to 100", "0");
  refused([](P& p) { p.presence_penalty = nan; }, "presence_penalty", "-100 to 100", "nan");
  refused([](P& p) { p.frequency_penalty = inf; }, "frequency_penalty", "-100 to 100", "inf");
  refused([](P& p) { p.penalty_window = -2; }, "penalty_window", "-1 (all) or more", "-2");
  refused([](P& p) { p.logit_bias = {{10, 1.0f}}; }, "logit_bias", "token ids 0 to 9", "10");
  refused([](P& p) { p.logit_bias = {{-1, 1.0f}}; }, "logit_bias", "token ids 0 to 9", "-1");
  refused([](P& p) { p.logit_bias = {{3, nan}}; }, "logit_bias", "finite values", "nan for token 3");
}

}  // namespace

// A device that is off by a few millionths may choose any of the light tokens about the draw, not only the
// one under it and those a whole share away.
TEST(Sampler, EveryTokenWithinTheShareIsPossible) {
  constexpr double millionth = 1e-6;
  const double before = uniform_at(1, 0) - 5.5 * millionth;  // the draw falls amid the sixth light token
  ASSERT_GT(before, 0.01);
  ASSERT_LT(before, 0.99);
  std::vector<double> odds = {before};
  odds.insert(odds.end(), 40, millionth);
  odds.push_back(1 - before - 40 * millionth);
  std::vector<float> logits;
  for (const double p : odds) logits.push_back(static_cast<float>(std::log(p)));

  const auto possible = [&](double share) { return *Sampler(plain(1)).possible(logits, share); };
  EXPECT_EQ(possible(0), (std::set<std::int32_t>{6}));
  EXPECT_EQ(possible(2 * millionth), (std::set<std::int32_t>{4, 5, 6, 7, 8}));
  std::set<std::int32_t> expected;
  for (std::int32_t id = 0; id <= 16; ++id) expected.insert(id);
  EXPECT_EQ(possible(10 * millionth), expected);
  EXPECT_EQ(Sampler(plain(1)).sample(logits).value(), 6);
}

}  // namespace trine::sampling
