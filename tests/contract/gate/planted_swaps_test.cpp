// The rule of expert swaps excuses near-ties and nothing else.
#include "contract/judge/swaps.h"
#include "faulty_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace trine::test {
namespace {

using contract::RouterTable;
using contract::SwapReport;
using contract::Verdict;
using model::Numerics;
using model::Stage;

// Two layers, four experts of which two are chosen, one prompt of twelve rows. Logits 4, 3, 2, 1 everywhere,
// so that experts 0 and 1 are chosen; each side may be edited before the ids are taken from its logits.
struct Tables {
  static constexpr std::int64_t rows = 12;

  Tables() {
    config.n_layers = 2;
    config.n_experts = 4;
    config.experts_per_token = 2;
    config.hidden_size = config.n_heads = config.n_kv_heads = config.head_dim = config.expert_ffn_size = 1;
    config.vocab_size = 100;
    prompts.prompts.push_back({"only", std::vector<std::int32_t>(rows, 1)});
    expected = actual = RouterTable(config, rows);
    for (int layer = 0; layer < 2; ++layer)
      for (std::int64_t row = 0; row < rows; ++row) {
        set(expected, layer, row, {4, 3, 2, 1});
        // Everywhere an error of 0.01, so that margins below 0.04 are allowed.
        set(actual, layer, row, {4.01f, 3, 2, 1});
      }
  }

  void set(RouterTable& table, int layer, std::int64_t row, std::vector<float> logits) const {
    table.take(Stage::router_logits, layer, row, logits);
    std::vector<float> ids = {0, 1, 2, 3};
    std::stable_sort(ids.begin(), ids.end(), [&](float a, float b) {
      return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    ids.resize(2);
    table.take(Stage::expert_ids, layer, row, ids);
  }

  SwapReport judge() const { return contract::judge_swaps(expected, actual, prompts, config); }

  model::Config config;
  contract::PromptSet prompts;
  RouterTable expected, actual;
};

TEST(SwapRule, EqualChoicesAreNoSwaps) {
  const SwapReport report = Tables().judge();
  EXPECT_TRUE(report.swaps.empty());
  EXPECT_EQ(report.invalid, "");
  EXPECT_EQ(report.choices, 2u * 12u * 2u);
  EXPECT_EQ(report.different, 0u);
  EXPECT_NEAR(report.typical_error[0], 0.01, 1e-6);
}

TEST(SwapRule, ANearTieIsExcusedWithWhatFollowsIt) {
  Tables tables;
  tables.set(tables.expected, 0, 5, {4, 3.02f, 3, 1});
  tables.set(tables.actual, 0, 5, {4, 3.01f, 3.02f, 1});
  const SwapReport report = tables.judge();
  ASSERT_EQ(report.swaps.size(), 1u);
  EXPECT_TRUE(report.swaps[0].excused);
  EXPECT_EQ(report.swaps[0].expected, 1);
  EXPECT_EQ(report.swaps[0].actual, 2);
  EXPECT_NEAR(report.swaps[0].margin, 0.02, 1e-5);
  const contract::Slots slots(tables.config);
  EXPECT_EQ(report.excused_from[4], slots.size());
  EXPECT_EQ(report.excused_from[5], slots.index_of(Stage::expert_ids, 0));
  EXPECT_EQ(report.excused_from[6], slots.index_of(Stage::attention, 1));
}

TEST(SwapRule, AMarginBeyondTheTypicalErrorIsNotExcused) {
  Tables tables;
  tables.set(tables.expected, 0, 5, {4, 3.05f, 3, 1});
  tables.set(tables.actual, 0, 5, {4, 3, 3.01f, 1});
  const SwapReport report = tables.judge();
  EXPECT_EQ(report.not_excused, 1u);
  EXPECT_EQ(report.excused_from[5], contract::Slots(tables.config).size());
}

// The hole: by definition a swap's margin is within its own row's error.
TEST(SwapRule, ARowDoesNotExcuseItselfByItsOwnError) {
  Tables tables;
  tables.set(tables.actual, 0, 5, {4, 3, 9, 1});
  const SwapReport report = tables.judge();
  ASSERT_EQ(report.swaps.size(), 1u);
  EXPECT_TRUE(report.swaps[0].margin <= report.swaps[0].measured_error);
  EXPECT_EQ(report.not_excused, 1u);
}

// The k-th and the next are nearly tied, but the one that came is neither.
TEST(SwapRule, TheMarginIsThatOfTheExpertsSwapped) {
  Tables tables;
  tables.set(tables.expected, 0, 5, {4, 3.001f, 3, 1});
  tables.set(tables.actual, 0, 5, {4, 3, 2.99f, 3.01f});
  const SwapReport report = tables.judge();
  ASSERT_EQ(report.swaps.size(), 1u);
  EXPECT_EQ(report.swaps[0].actual, 3);
  EXPECT_NEAR(report.swaps[0].margin, 2.001, 1e-5);
  EXPECT_EQ(report.not_excused, 1u);
}

TEST(SwapRule, IdsMustFollowFromTheBackendsOwnLogits) {
  Tables tables;
  const std::vector<float> other = {0, 2};
  tables.actual.take(Stage::expert_ids, 1, 7, other);
  const SwapReport report = tables.judge();
  EXPECT_NE(report.invalid.find("own router logits"), std::string::npos) << report.invalid;
  EXPECT_NE(report.invalid.find("row 7, layer 1"), std::string::npos) << report.invalid;
}

TEST(SwapRule, IdsThatAreNoneAreInvalid) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::vector<float>& ids :
       {std::vector<float>{0, nan}, {0, 4}, {0, -1}, {0, 0.5f}, {1, 1}, {0, INFINITY}}) {
    Tables tables;
    tables.actual.take(Stage::expert_ids, 0, 2, ids);
    EXPECT_NE(tables.judge().invalid.find("not whole, in range and distinct"), std::string::npos);
  }
}

TEST(SwapRule, NanLogitsMakeNoAllowance) {
  Tables tables;
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::int64_t row = 0; row < 8; ++row) tables.set(tables.actual, 0, row, {nan, 3, 2, 1});
  const SwapReport report = tables.judge();
  EXPECT_FALSE(report.invalid.empty());
  EXPECT_NEAR(report.typical_error[0], 0.01, 1e-6);
}

// An exact tie goes to the lower id: no rounding explains another choice.
TEST(SwapRule, AnExactTieWithoutErrorIsNotExcused) {
  Tables tables;
  for (int layer = 0; layer < 2; ++layer)
    for (std::int64_t row = 0; row < Tables::rows; ++row) {
      tables.set(tables.expected, layer, row, {4, 3, 3, 1});
      tables.set(tables.actual, layer, row, {4, 3, 3, 1});
    }
  const std::vector<float> reversed = {0, 2};
  tables.actual.take(Stage::expert_ids, 0, 3, reversed);
  const SwapReport report = tables.judge();
  EXPECT_EQ(report.invalid, "");
  EXPECT_EQ(report.not_excused, 1u);
}

// ---- Positions behind a swap ----

// One prompt of twelve rows, nine of them judged, all behind a near-tie at row 2 of the first layer.
struct BehindASwap : Tables {
  BehindASwap() {
    set(expected, 0, 2, {4, 3.02f, 3, 1});
    set(actual, 0, 2, {4, 3.01f, 3.02f, 1});
    run.numerics = Numerics::fast;
    run.scores = contract::StageScores(config, rows);
    run.scores.scores.assign(run.scores.scores.size(), {1, 0});
    run.scores.delivered.assign(run.scores.delivered.size(), 1);
    for (std::int64_t i = 0; i < contract::judged_positions * config.vocab_size; ++i)
      run.expected_logits.push_back(static_cast<float>(i % 7) - 3);
    run.actual_logits = run.expected_logits;
  }

  // Turns a part of a position's logits round.
  void spoil(std::int64_t position, int of_hundred) {
    for (std::int64_t i = 0; i < of_hundred; ++i)
      run.actual_logits[static_cast<std::size_t>(position * config.vocab_size + i)] *= -1;
  }
  contract::LegResult judge_leg() {
    run.expected = expected;
    run.actual = actual;
    return contract::judge_fast({config, prompts}, run);
  }

  contract::ParityRun run;
};

std::size_t samples_of(const contract::LegResult& leg, const std::string& name) {
  for (const contract::Figure& figure : leg.result.figures)
    if (figure.name == name) return figure.n;
  return 0;
}

TEST(BehindSwaps, APositionThatHoldsIsJudged) {
  BehindASwap scene;
  const contract::LegResult leg = scene.judge_leg();
  EXPECT_EQ(leg.result.verdict, Verdict::pass) << leg.result.reason;
  ASSERT_EQ(leg.result.swaps.size(), 1u);
  EXPECT_TRUE(leg.result.swaps[0].excused);
  EXPECT_EQ(samples_of(leg, "logits cosine"), 9u);
  EXPECT_EQ(samples_of(leg, "logits KL"), 9u);
  EXPECT_EQ(leg.prompts[0].excused, 0u);
}

// Two of nine are more than a share allows, and too few to blame a device for.
TEST(BehindSwaps, TooFewPositionsAreNeitherAPassNorAFailure) {
  BehindASwap scene;
  scene.spoil(4, 2);
  scene.spoil(7, 2);
  const contract::LegResult leg = scene.judge_leg();
  EXPECT_EQ(leg.result.verdict, Verdict::refused) << leg.result.reason;
  EXPECT_NE(leg.result.reason.find("too little was run to tell: 2 of 9"), std::string::npos)
      << leg.result.reason;
  EXPECT_EQ(samples_of(leg, "logits cosine"), 7u);
  contract::GateResult result;
  result.legs = {leg};
  contract::conclude(result);
  EXPECT_EQ(result.verdict, Verdict::refused);
  EXPECT_EQ(contract::summarise(result).find("does NOT"), std::string::npos);
}

TEST(BehindSwaps, NothingExcusesAnotherAnswer) {
  BehindASwap scene;
  scene.spoil(8, 100);
  const contract::LegResult leg = scene.judge_leg();
  EXPECT_EQ(leg.result.verdict, Verdict::fail);
  EXPECT_NE(leg.result.reason.find("logits cosine at excused positions"), std::string::npos)
      << leg.result.reason;
  BehindASwap none;
  none.run.actual_logits[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(none.judge_leg().result.verdict, Verdict::fail);
}

// Without the swap the same position is a failure.
TEST(BehindSwaps, WithoutASwapNothingIsExcused) {
  BehindASwap scene;
  scene.set(scene.actual, 0, 2, {4, 3.02f, 3, 1});
  scene.spoil(4, 2);
  EXPECT_EQ(scene.judge_leg().result.verdict, Verdict::fail);
}

// ---- The whole gate ----

// Expert ids exchanged in the trace, router logits right.
TEST(PlantedSwaps, SwappedExpertIds) {
  FaultyBench bench({{}, {}, {}, [](Stage stage, int layer, std::int64_t width, std::vector<float>& values) {
                       if (stage != Stage::expert_ids || layer != 1) return;
                       for (std::size_t i = 0; i < values.size(); i += static_cast<std::size_t>(width))
                         values[i] = std::fmod(values[i] + 1, 8.0f) == values[i + 1]
                                         ? std::fmod(values[i] + 2, 8.0f)
                                         : std::fmod(values[i] + 1, 8.0f);
                     }});
  const contract::GateResult result = bench.run();
  for (const Numerics numerics : {Numerics::exact, Numerics::fast}) {
    const contract::CheckResult& leg = leg_of(result, numerics == Numerics::exact ? 'X' : 'F', numerics);
    EXPECT_EQ(leg.verdict, Verdict::fail);
    EXPECT_NE(leg.reason.find("own router logits"), std::string::npos) << leg.reason;
    EXPECT_FALSE(leg.swaps.empty());
  }
  const auto& first = leg_of(result, 'X', Numerics::exact).first_divergence;
  ASSERT_TRUE(first);
  EXPECT_EQ(first->stage, Stage::expert_ids);
  EXPECT_EQ(first->layer, 1);
}

// Noise on all routers, ids that follow from it, and logits to match: every margin is then within the typical
// error, and the rule alone would excuse every row.
TEST(PlantedSwaps, ARuleThatWouldSwallowEverything) {
  std::vector<float> noisy;
  std::uint32_t seed = 1;
  FaultyBench bench;
  bench.fault.stage = [&](Stage stage, int, std::int64_t width, std::vector<float>& values) {
    if (stage == Stage::router_logits) {
      for (float& x : values) {
        seed = seed * 1664525u + 1013904223u;
        x += 40 * (static_cast<float>(seed >> 8) / 16777216.0f - 0.5f);
      }
      noisy = values;
    } else if (stage == Stage::expert_ids) {
      const std::size_t n = noisy.size() / (values.size() / static_cast<std::size_t>(width));
      for (std::size_t row = 0; row * n < noisy.size(); ++row) {
        std::vector<int> order(n);
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
          return noisy[row * n + static_cast<std::size_t>(a)] > noisy[row * n + static_cast<std::size_t>(b)];
        });
        for (std::int64_t rank = 0; rank < width; ++rank)
          values[row * static_cast<std::size_t>(width) + static_cast<std::size_t>(rank)] =
              static_cast<float>(order[static_cast<std::size_t>(rank)]);
      }
    }
  };
  bench.fault.logits = [&](const FaultyStep&, std::span<float> logits) {
    for (float& x : logits) {
      seed = seed * 1664525u + 1013904223u;
      x = static_cast<float>(seed >> 8) / 16777216.0f;
    }
  };
  const contract::GateResult result = bench.run();
  const contract::CheckResult& fast = leg_of(result, 'F', Numerics::fast);
  EXPECT_EQ(fast.verdict, Verdict::fail);
  const auto share =
      std::find_if(fast.figures.begin(), fast.figures.end(),
                   [](const contract::Figure& figure) { return figure.name == "share of rows with a swap"; });
  ASSERT_NE(share, fast.figures.end());
  EXPECT_TRUE(share->max > 0.5) << share->max;
  EXPECT_EQ(leg_of(result, 'X', Numerics::exact).verdict, Verdict::fail);
}

}  // namespace
}  // namespace trine::test
