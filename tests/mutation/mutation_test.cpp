// The gate finds small bugs in the CPU backend and names the stage where each begins. mutations.cmake says
// what they are; every one is linked into a program of its own, which runs its line of the table below, and
// the control, which has none, must pass everywhere.
#include "gate_fixture.h"

#include <cstddef>
#include <cstring>
#include <ostream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace trine::test {
namespace {

using contract::Verdict;
using model::Numerics;
using model::Stage;

// What the gate runs, on the demo's first three layers and the portable kernels, which every processor has.
enum class Scene {
  short_prompts,
  two_pages,     // one prompt, longer than a KV page
  equal_experts  // layer 0's router cannot tell experts 1 and 2 apart
};

struct Mutation {
  const char* name;
  Scene scene;
  Stage stage;  // the first outside
  int layer;
};

constexpr Mutation mutations[] = {
    {"WrongRopeTheta", Scene::short_prompts, Stage::qk_norm_rope, 0},
    {"TieToTheHigherId", Scene::equal_experts, Stage::expert_ids, 0},
    {"WeightsNotRenormalised", Scene::short_prompts, Stage::expert_weights, 0},
    {"KNormSkipped", Scene::short_prompts, Stage::qk_norm_rope, 0},
    // The first product with a tensor of Q6_K: blk.0.ffn_down_exps.
    {"Q6KScaleOffByOne", Scene::short_prompts, Stage::moe_out, 0},
    {"LastRowDropped", Scene::short_prompts, Stage::qkv, 0},
    {"MaskOffByOne", Scene::short_prompts, Stage::attention, 0},
    // A row that stands out: its squares leave the range of f16.
    {"F16Accumulation", Scene::short_prompts, Stage::ffn_norm, 0},
    {"ExpertIdOffByOne", Scene::short_prompts, Stage::expert_act, 0},
    {"StaleKvPage", Scene::two_pages, Stage::attention, 0},
};

struct Bench : GateBench {
  explicit Bench(Scene scene) : GateBench(demo_path, 3) {
    use_prompts(scene == Scene::two_pages ? long_prompt() : contract::quick_subset(prompts));
    // In fast numerics a near-tie early in the only prompt excuses all that leg F could judge.
    if (scene == Scene::two_pages) options.numerics = {Numerics::exact};
    options.stop_at_failure = true;
    if (scene == Scene::equal_experts) make_experts_equal();
    open = [this](Numerics numerics, int threads) {
      model::LoadOptions options;
      options.threads = threads;
      options.numerics = numerics;
      options.context = contract::context_for(prompts);
      options.device = "portable";
      return backend::load_model("cpu", weights, options);
    };
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

 private:
  contract::PromptSet long_prompt() const {
    contract::PromptSet one;
    for (const contract::Prompt& prompt : prompts.prompts)
      if (prompt.size() > 64) one.prompts.push_back(prompt);
    return one;
  }

  void make_experts_equal() {
    model::Weight& weight = weights.layers[0].router;
    router_.assign(weight.data, weight.data + weight.expert_bytes());
    std::byte* const rows = router_.data();
    std::memcpy(rows + 2 * weight.row_bytes, rows + weight.row_bytes, weight.row_bytes);
    weight.data = rows;
  }

  std::vector<std::byte> router_;
};

std::string layer_text(const Mutation& mutation) {
  return "layer " + std::to_string(mutation.layer) + ", " + std::string(model::name_of(mutation.stage));
}

void PrintTo(const Mutation& mutation, std::ostream* out) {
  *out << mutation.name;
}

class Caught : public testing::TestWithParam<Mutation> {};

TEST_P(Caught, WithTheStageWhereItBegins) {
  const Mutation& mutation = GetParam();
  Bench bench(mutation.scene);
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::fail);
  const contract::CheckResult& leg = leg_of(result, 'X', Numerics::exact);
  EXPECT_EQ(leg.verdict, Verdict::fail);
  ASSERT_TRUE(leg.first_divergence) << leg.reason;
  EXPECT_EQ(model::name_of(leg.first_divergence->stage), model::name_of(mutation.stage));
  EXPECT_EQ(leg.first_divergence->layer, mutation.layer);
  const std::string said = contract::summarise(result);
  RecordProperty("summary", said);
  EXPECT_NE(said.find("does NOT give the reference's answer"), std::string::npos) << said;
  EXPECT_NE(said.find("first outside: " + layer_text(mutation)), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(Mutation, Caught, testing::ValuesIn(mutations),
                         [](const auto& tested) { return std::string(tested.param.name); });

void PrintTo(Scene scene, std::ostream* out) {
  constexpr const char* names[] = {"ShortPrompts", "TwoPages", "EqualExperts"};
  *out << names[static_cast<int>(scene)];
}

class Control : public testing::TestWithParam<Scene> {};

TEST_P(Control, PassesWithoutAMutation) {
  Bench bench(GetParam());
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  for (const char leg : {'X', 'D', 'T'})
    EXPECT_EQ(leg_of(result, leg, Numerics::exact).verdict, Verdict::pass) << leg;
}

INSTANTIATE_TEST_SUITE_P(Scenes, Control,
                         testing::Values(Scene::short_prompts, Scene::two_pages, Scene::equal_experts),
                         testing::PrintToStringParamName());

TEST(Programs, EveryMutationHasAProgramAndALine) {
  std::set<std::string> programs, lines;
  std::istringstream names(TRINE_MUTATIONS);
  for (std::string name; names >> name;) programs.insert(name);
  for (const Mutation& mutation : mutations) lines.insert(mutation.name);
  EXPECT_EQ(programs, lines);
}

}  // namespace
}  // namespace trine::test
