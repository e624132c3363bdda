// The gate finds small bugs in the WebGPU kernels and names the stage where each begins. Without one, it
// passes.
#include "gate_fixture.h"
#include "wgpu/model.h"
#include "wgpu_fixture.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace trine::test {
namespace {

using contract::Verdict;
using model::Numerics;
using model::Stage;
using wgpu::ShaderEdit;

enum class Scene {
  as_it_is,
  equal_experts  // layer 0's router cannot tell experts 1 and 2 apart
};

// What the gate runs.
enum class Work {
  rows,   // a tiny model in exact numerics, prompts of a few rows
  tiles,  // the same, a prompt that is long enough to multiply tiles
  fast    // a layer of the demo model, whose weights are trained, in fast numerics, a prompt of one tile
};

struct Mutation {
  const char* name;
  std::vector<ShaderEdit> edits;
  Scene scene;
  Stage stage;  // of layer 0, the first outside, of exact numerics
  bool needs_other_subgroups = false;
  Work work = Work::rows;
  char leg = 'X';
};

const std::vector<Mutation>& mutations() {
  static const std::vector<Mutation> all = {
      {"AssumesSubgroupsOf32",
       {{"let as_expected = size == SUBGROUP_SIZE;", "let as_expected = true;"},
        {"if (thread % SUBGROUP_SIZE == 0u) {", "if (thread % 32u == 0u) {"},
        {"reduce_values[(i * WORKGROUP + thread) / SUBGROUP_SIZE] = sum;",
         "reduce_values[(i * WORKGROUP + thread) / 32u] = sum;"},
        {"i < LANES / SUBGROUP_SIZE; i++", "i < LANES / 32u; i++"}},
       Scene::as_it_is,
       Stage::attn_norm,
       true},
      // Without the store, workgroup memory holds what another kernel left there; here 7, so that every
      // adapter shows it.
      {"WorkgroupMemoryNotInitialised",
       {{"atomicStore(&n_unsound, 0u);", "atomicStore(&n_unsound, 7u);"}},
       Scene::as_it_is,
       Stage::expert_weights},
      // The first product of this kernel is W_o's.
      {"LastRowDropped",
       {{"row < params.rows && token < n_tokens", "row + 1u < params.rows && token < n_tokens"}},
       Scene::as_it_is,
       Stage::attn_out},
      {"TieToTheHigherId",
       {{"vec4(0u, 1u, 2u, 3u) < vec4(expert)", "vec4(0u, 1u, 2u, 3u) > vec4(expert)"}},
       Scene::equal_experts,
       Stage::expert_ids},
      {"KNormSkipped",
       {{"let scale = inverseSqrt(((sums.x + sums.y) + (sums.z + sums.w)) / f32(HEAD_DIM) + eps);",
         "let norm_scale = inverseSqrt(((sums.x + sums.y) + (sums.z + sums.w)) / f32(HEAD_DIM) + eps);\n"
         "  let scale = select(norm_scale, 1.0, is_key);"}},
       Scene::as_it_is,
       Stage::qk_norm_rope},

      // A lane's sum is added to that of the next one.
      {.name = "TileKeepsTheSumOfALane",
       .edits = {{"(*sums).lane[at] = vec4(0.0);", "(*sums).lane[at] = (*sums).lane[at];"}},
       .scene = Scene::as_it_is,
       .stage = Stage::qkv,
       .work = Work::tiles},
      {.name = "TileTakesTheNextTokensRow",
       .edits = {{"let row = x_rows[min(i / X_ROW, TILE - 1u)];",
                  "let row = x_rows[min(i / X_ROW + 1u, TILE - 1u)];"}},
       .scene = Scene::as_it_is,
       .stage = Stage::qkv,
       .work = Work::tiles},
      {.name = "TilesOfAnExpertBeginWithTheFirst",
       .edits = {{"vec4(expert, first + i * TILE, min(TILE, count - i * TILE), 0u)",
                  "vec4(expert, first, min(TILE, count - i * TILE), 0u)"}},
       .scene = Scene::as_it_is,
       .stage = Stage::expert_act,
       .work = Work::tiles},
      {.name = "GateAndUpSwappedInATile",
       .edits = {{"put(row, own_token(thread, 4u * q + 3u), count, g.w, u.w);",
                  "put(row, own_token(thread, 4u * q + 3u), count, u.w, g.w);"}},
       .scene = Scene::as_it_is,
       .stage = Stage::expert_act,
       .work = Work::tiles},
      {.name = "LastPairOfATileDropped",
       .edits = {{"    down[x_rows[token] * params.rows + row] = value;",
                  "    if (token + 1u < count) { down[x_rows[token] * params.rows + row] = value; }"}},
       .scene = Scene::as_it_is,
       .stage = Stage::moe_out,
       .work = Work::tiles},

      {.name = "DrawOfTheNextToken",
       .edits = {{"draw_number = choice.draw;", "draw_number = choice.draw + vec2(1u, 0u);"}},
       .scene = Scene::as_it_is,
       .stage = Stage::logits,
       .leg = 'S'},
      {.name = "PenaltyForgetsWhatWasChosen",
       .edits = {{"tallies[generated_at(slot, token)] += 1u;", "tallies[generated_at(slot, token)] += 0u;"}},
       .scene = Scene::as_it_is,
       .stage = Stage::logits,
       .leg = 'S'},
      {.name = "RulesOfAnotherSlot",
       .edits = {{"if (tallies[seen_at(choice.slot, token)] > 0u) {",
                  "if (tallies[seen_at(choice.slot ^ 1u, token)] > 0u) {"}},
       .scene = Scene::as_it_is,
       .stage = Stage::logits,
       .leg = 'S'},

      {.name = "IntegerDotDropsFourColumns",
       .edits = {{"dot4I8Packed(q.z, v.z) + dot4I8Packed(q.w, v.w);\n}\n\n// sum + w · v.",
                  "dot4I8Packed(q.z, v.z);\n}\n\n// sum + w · v."}},
       .scene = Scene::as_it_is,
       .stage = Stage::logits,
       .work = Work::fast,
       .leg = 'F'},
      {.name = "ScaleOfHalfABlock",
       .edits = {{"let scale = largest / 127.0;", "let scale = largest / 254.0;"}},
       .scene = Scene::as_it_is,
       .stage = Stage::logits,
       .work = Work::fast,
       .leg = 'F'},
      {.name = "CachedPairsSwapped",
       .edits = {{"cache[quad] = vec2(pack2x16float(values.xy), pack2x16float(values.zw));",
                  "cache[quad] = vec2(pack2x16float(values.zw), pack2x16float(values.xy));"}},
       .scene = Scene::as_it_is,
       .stage = Stage::logits,
       .work = Work::fast,
       .leg = 'F'},
      // Of batches of many rows only.
      {.name = "MinimumLeftOutInATile",
       .edits = {{"result = fma(vec4(w.offset), v.sum, result);", "result = fma(vec4(0.0), v.sum, result);"}},
       .scene = Scene::as_it_is,
       .stage = Stage::logits,
       .work = Work::fast,
       .leg = 'F'},
  };
  return all;
}

// The gate over the first layer of a tiny model, or of the demo model.
struct Bench : GateBench {
  Bench(Scene scene, Work work, std::vector<ShaderEdit> edits)
      : GateBench(work == Work::fast ? demo_path : models_dir + "tiny/tiny-Q4_K.gguf", 1) {
    use_prompts(work == Work::rows ? contract::quick_subset(prompts)
                                   : long_prompt(work == Work::tiles ? 40 : 28));
    options.numerics = {work == Work::fast ? Numerics::fast : Numerics::exact};
    options.stop_at_failure = true;
    if (scene == Scene::equal_experts) make_experts_equal();
    backend = "wgpu";
    is_gpu = true;
    open = [this, edits = std::move(edits)](Numerics numerics,
                                            int threads) -> Result<std::unique_ptr<model::DeviceModel>> {
      wgpu::WgpuOptions options;
      options.device = wgpu::first_adapter;
      options.context = contract::context_for(prompts);
      options.numerics = numerics;
      options.threads = threads;
      options.self_test = false;  // which would find it first
      options.shader_edits = edits;
      return wgpu::WgpuModel::load(weights, options);
    };
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

 private:
  // Its prefill has more rows than mat-vecs take; with 40 tokens, those of two tiles.
  contract::PromptSet long_prompt(std::size_t tokens) const {
    for (contract::Prompt prompt : prompts.prompts) {
      if (prompt.tokens.size() < tokens) continue;
      prompt.tokens.resize(tokens);
      return {{std::move(prompt)}};
    }
    throw std::runtime_error("no prompt is long enough");
  }

  void make_experts_equal() {
    model::Weight& weight = weights.layers[0].router;
    router_.assign(weight.data, weight.data + weight.expert_bytes());
    std::memcpy(router_.data() + 2 * weight.row_bytes, router_.data() + weight.row_bytes, weight.row_bytes);
    weight.data = router_.data();
  }

  std::vector<std::byte> router_;
};

// Lanes of a subgroup; 0 without them.
std::uint32_t subgroup_size() {
  const auto gpu = wgpu::Gpu::open(wgpu::test_options());
  return gpu ? (*gpu)->subgroup_size() : 0;
}

void PrintTo(const Mutation& mutation, std::ostream* out) {
  *out << mutation.name;
}

class WgslCaught : public testing::TestWithParam<Mutation> {
 protected:
  void SetUp() override {
    if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  }
};

TEST_P(WgslCaught, WithTheStageWhereItBegins) {
  const Mutation& mutation = GetParam();
  if (mutation.needs_other_subgroups) {
    const std::uint32_t size = subgroup_size();
    if (size == 0) GTEST_SKIP() << "this adapter has no subgroups of one size";
    if (size == 32) GTEST_SKIP() << "this adapter's subgroups are what the bug assumes";
  }
  Bench bench(mutation.scene, mutation.work, mutation.edits);
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::fail) << result.reason;
  const contract::CheckResult& leg = leg_of(result, mutation.leg, bench.options.numerics.front());
  EXPECT_EQ(leg.verdict, Verdict::fail) << leg.reason;
  if (mutation.leg == 'X') {
    ASSERT_TRUE(leg.first_divergence) << leg.reason;
    EXPECT_EQ(model::name_of(leg.first_divergence->stage), model::name_of(mutation.stage));
    EXPECT_EQ(leg.first_divergence->layer, 0);
  }
  const std::string said = contract::summarise(result);
  EXPECT_NE(said.find("does NOT give the reference's answer"), std::string::npos) << said;
}

// A mutation must not fade away when a kernel changes.
TEST_P(WgslCaught, IsOfTextThatIsThere) {
  for (const ShaderEdit& edit : GetParam().edits) {
    std::size_t files = 0;
    for (const EmbeddedFile& file : wgpu::shader_files())
      files += file.text.find(edit.from) != file.text.npos ? 1 : 0;
    EXPECT_EQ(files, 1u) << "write the mutation anew for what is there now: " << edit.from;
  }
}

INSTANTIATE_TEST_SUITE_P(Mutation, WgslCaught, testing::ValuesIn(mutations()),
                         [](const auto& tested) { return std::string(tested.param.name); });

struct Scenery {
  const char* name;
  Scene scene;
  Work work;
};

void PrintTo(const Scenery& scenery, std::ostream* out) {
  *out << scenery.name;
}

class WgslControl : public testing::TestWithParam<Scenery> {};

TEST_P(WgslControl, PassesWithoutAMutation) {
  if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  const Scenery& scenery = GetParam();
  Bench bench(scenery.scene, scenery.work, {});
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  const Numerics numerics = bench.options.numerics.front();
  for (const char leg : {numerics == Numerics::exact ? 'X' : 'F', 'D', 'T', 'S'})
    EXPECT_EQ(leg_of(result, leg, numerics).verdict, Verdict::pass) << leg;
}

INSTANTIATE_TEST_SUITE_P(Scenes, WgslControl,
                         testing::Values(Scenery{"AsItIs", Scene::as_it_is, Work::rows},
                                         Scenery{"EqualExperts", Scene::equal_experts, Work::rows},
                                         Scenery{"Tiles", Scene::as_it_is, Work::tiles},
                                         Scenery{"Fast", Scene::as_it_is, Work::fast}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace trine::test
