// Wrong numbers fail, and the first stage that is wrong is named.
#include "faulty_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace trine::test {
namespace {

using contract::Verdict;
using model::Numerics;
using model::Stage;

void expect_first(const contract::GateResult& result, Stage stage, int layer) {
  const contract::CheckResult& leg = leg_of(result, 'X', Numerics::exact);
  EXPECT_EQ(leg.verdict, Verdict::fail);
  ASSERT_TRUE(leg.first_divergence) << leg.reason;
  EXPECT_EQ(leg.first_divergence->stage, stage) << leg.reason;
  EXPECT_EQ(leg.first_divergence->layer, layer) << leg.reason;
  EXPECT_NE(leg.reason.find(model::name_of(stage)), std::string::npos) << leg.reason;
  EXPECT_EQ(result.verdict, Verdict::fail);
  EXPECT_NE(contract::summarise(result).find("does NOT"), std::string::npos);
}

// One NaN in one logit of one position, which a minimum would drop.
TEST(PlantedNumbers, NanInOneLogit) {
  FaultyBench bench({{},
                     {},
                     [](const FaultyStep& faulty, std::span<float> logits) {
                       if (faulty.step.rows.size() == 1 && faulty.step.rows[0].position == 6)
                         logits[77] = nan;
                     },
                     {}});
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::fail);
  for (const Numerics numerics : {Numerics::exact, Numerics::fast})
    for (const char leg : {numerics == Numerics::exact ? 'X' : 'F', 'D', 'T'})
      EXPECT_EQ(leg_of(result, leg, numerics).verdict, Verdict::fail) << leg << model::name_of(numerics);
  expect_first(result, Stage::logits, -1);
  EXPECT_EQ(leg_of(result, 'X', Numerics::exact).first_divergence->row, 6);
}

// The same NaN in every run repeats to the byte; it is no answer all the same.
TEST(PlantedNumbers, NanEverywhereDoesNotRepeatWell) {
  FaultyBench bench({{},
                     {},
                     [](const FaultyStep&, std::span<float> logits) {
                       for (float& x : logits) x = nan;
                     },
                     {}});
  const contract::GateResult result = bench.run();
  EXPECT_EQ(leg_of(result, 'T', Numerics::exact).verdict, Verdict::fail);
  EXPECT_EQ(leg_of(result, 'D', Numerics::exact).verdict, Verdict::fail);
}

TEST(PlantedNumbers, NanInAStage) {
  FaultyBench bench({{}, {}, {}, [](Stage stage, int layer, std::int64_t, std::vector<float>& values) {
                       if (stage == Stage::expert_act && layer == 2) values[5] = nan;
                     }});
  const contract::GateResult result = bench.run();
  expect_first(result, Stage::expert_act, 2);
  EXPECT_EQ(leg_of(result, 'F', Numerics::fast).verdict, Verdict::fail);
}

// ---- Numbers of the reference that are none ----

void expect_no_blame(const contract::GateResult& result, const std::string& where) {
  EXPECT_EQ(result.verdict, Verdict::refused);
  EXPECT_NE(result.reason.find("the weights are damaged"), std::string::npos) << result.reason;
  EXPECT_NE(result.reason.find(where), std::string::npos) << result.reason;
  for (const Numerics numerics : {Numerics::exact, Numerics::fast})
    for (const char leg : {numerics == Numerics::exact ? 'X' : 'F', 'D', 'T'})
      EXPECT_EQ(leg_of(result, leg, numerics).verdict, Verdict::refused) << leg << model::name_of(numerics);
  const std::string summary = contract::summarise(result);
  EXPECT_TRUE(summary.starts_with("Not judged: ")) << summary;
  EXPECT_EQ(summary.find("his device"), std::string::npos) << summary;
}

// Both sides have the same damage, and the device that shows it is not to blame.
TEST(PlantedNumbers, DamagedWeightsJudgeNoDevice) {
  FaultyBench bench;
  model::Weight& router = bench.weights.layers[1].router;
  const std::vector<float> damaged(static_cast<std::size_t>(router.rows * router.columns), nan);
  router.data = reinterpret_cast<const std::byte*>(damaged.data());
  expect_no_blame(bench.run(), "first at layer 1, router_logits:");
}

// In the last group of prompts, after the backend was held to the others.
TEST(PlantedNumbers, DamageThatOnePromptMeetsJudgesNoDevice) {
  FaultyBench bench;
  bench.options.trace_bytes = 1;
  bench.prompts.prompts.back().tokens[0] = 7;
  for (std::size_t i = 0; i + 1 < bench.prompts.prompts.size(); ++i)
    for (std::int32_t& token : bench.prompts.prompts[i].tokens) token = token == 7 ? 8 : token;
  bench.use_prompts(bench.prompts);
  model::Weight& embed = bench.weights.embed;
  std::vector<std::byte> damaged(embed.data, embed.data + embed.expert_bytes());
  // A scale of all ones is a NaN in every format.
  std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(7 * embed.row_bytes), embed.row_bytes,
              std::byte{0xFF});
  embed.data = damaged.data();
  expect_no_blame(bench.run(), "first at embed:");
}

// The backend gets other weights than the reference; they must outlive the run.
void judge_with(FaultyBench& bench, const model::Weights& weights) {
  bench.open = [&weights](Numerics numerics, int threads) {
    model::LoadOptions options;
    options.threads = threads;
    options.numerics = numerics;
    options.context = 128;
    return backend::load_model("cpu", weights, options);
  };
}

// The device is to blame where the reference is sound.
TEST(PlantedNumbers, DamageOnTheDevicesSideOnlyIsItsFault) {
  FaultyBench bench;
  model::Weights wrong = bench.weights;
  model::Weight& router = wrong.layers[1].router;
  const std::vector<float> damaged(static_cast<std::size_t>(router.rows * router.columns), nan);
  router.data = reinterpret_cast<const std::byte*>(damaged.data());
  bench.options.numerics = {Numerics::exact};
  judge_with(bench, wrong);
  expect_first(bench.run(), Stage::router_logits, 1);
}

// Real mistakes, made in the weights the backend is given: each shows first where it is made.
TEST(PlantedNumbers, TheFirstStageIsNamed) {
  struct Mistake {
    std::function<void(model::Weights&)> make;
    Stage stage;
    int layer;
  };
  const Mistake mistakes[] = {
      {[](model::Weights& w) { w.config.rope_theta *= 2; }, Stage::qk_norm_rope, 0},
      {[](model::Weights& w) { w.config.rms_norm_eps = 1e-2f; }, Stage::attn_norm, 0},
      {[](model::Weights& w) { w.layers[1].attn_k_norm = w.layers[0].attn_k_norm; }, Stage::qk_norm_rope, 1},
      {[](model::Weights& w) { w.layers[2].attn_v = w.layers[0].attn_v; }, Stage::qkv, 2},
      {[](model::Weights& w) { w.layers[1].attn_output = w.layers[0].attn_output; }, Stage::attn_out, 1},
      {[](model::Weights& w) { w.layers[2].router = w.layers[1].router; }, Stage::router_logits, 2},
      {[](model::Weights& w) { w.layers[1].expert_up = w.layers[2].expert_up; }, Stage::expert_act, 1},
      {[](model::Weights& w) { w.layers[0].expert_down = w.layers[1].expert_down; }, Stage::moe_out, 0},
      {[](model::Weights& w) { w.output_norm = w.layers[0].ffn_norm; }, Stage::final_norm, -1},
  };
  for (const Mistake& mistake : mistakes) {
    SCOPED_TRACE(std::string(model::name_of(mistake.stage)));
    FaultyBench bench;
    bench.options.numerics = {Numerics::exact};
    bench.options.stop_at_failure = true;
    model::Weights wrong = bench.weights;
    mistake.make(wrong);
    judge_with(bench, wrong);
    expect_first(bench.run(), mistake.stage, mistake.layer);
  }
}

// Small enough for the cosine to miss: the length is bounded too.
TEST(PlantedNumbers, AStageThatIsTooLong) {
  FaultyBench bench({{}, {}, {}, [](Stage stage, int layer, std::int64_t, std::vector<float>& values) {
                       if (stage != Stage::attn_out || layer != 1) return;
                       for (float& x : values) x *= 1.003f;
                     }});
  const contract::GateResult result = bench.run();
  expect_first(result, Stage::attn_out, 1);
  EXPECT_TRUE(leg_of(result, 'X', Numerics::exact).first_divergence->cosine >= 0.999999);
}

TEST(PlantedNumbers, LogitsAloneAreWrong) {
  FaultyBench bench({{},
                     {},
                     [](const FaultyStep&, std::span<float> logits) {
                       for (std::size_t i = 0; i < logits.size(); i += 2) logits[i] *= 1.05f;
                     },
                     {}});
  expect_first(bench.run(), Stage::logits, -1);
}

// The prefill is right and only decode is wrong: it takes another token than it was given.
TEST(PlantedNumbers, DecodeWrongWherePrefillIsRight) {
  FaultyBench bench({{},
                     [](FaultyStep& faulty) {
                       if (faulty.step.rows.size() == 1 && faulty.step.rows[0].position == 9)
                         faulty.step.rows[0].token ^= 1;
                     },
                     {},
                     {}});
  const contract::GateResult result = bench.run();
  expect_first(result, Stage::embed, -1);
  EXPECT_EQ(leg_of(result, 'X', Numerics::exact).first_divergence->row, 9);
  for (const Numerics numerics : {Numerics::exact, Numerics::fast})
    EXPECT_EQ(leg_of(result, 'D', numerics).verdict, Verdict::fail);
}

// Decode reads another page than prefill wrote. What is there is left from the prompt before.
TEST(PlantedNumbers, AStaleKvPage) {
  FaultyBench bench({{},
                     [](FaultyStep& faulty) {
                       if (faulty.step.rows.size() == 1 && faulty.page_tables[0].size() > 1)
                         std::swap(faulty.page_tables[0][0], faulty.page_tables[0][1]);
                     },
                     {},
                     {}});
  const contract::GateResult result = bench.run();
  expect_first(result, Stage::attention, 0);
  EXPECT_EQ(leg_of(result, 'D', Numerics::exact).verdict, Verdict::fail);
}

TEST(PlantedNumbers, ARunThatDoesNotRepeat) {
  int calls = 0;
  FaultyBench bench;
  bench.fault.logits = [&calls](const FaultyStep&, std::span<float> logits) {
    if (!logits.empty()) logits[3] += 1e-5f * static_cast<float>(++calls);
  };
  const contract::GateResult result = bench.run();
  EXPECT_EQ(leg_of(result, 'X', Numerics::exact).verdict, Verdict::pass);
  EXPECT_EQ(leg_of(result, 'D', Numerics::exact).verdict, Verdict::pass);
  EXPECT_EQ(leg_of(result, 'T', Numerics::exact).verdict, Verdict::fail);
  EXPECT_EQ(result.verdict, Verdict::fail);
}

// A backend whose forward fails is no pass.
TEST(PlantedNumbers, AFaultOfTheDevice) {
  FaultyBench bench({{}, [](FaultyStep& faulty) { faulty.step.rows[0].token = -2; }, {}, {}});
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::fail);
  EXPECT_NE(result.reason.find("token"), std::string::npos) << result.reason;
}

}  // namespace
}  // namespace trine::test
