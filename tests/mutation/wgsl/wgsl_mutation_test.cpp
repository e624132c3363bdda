// The gate finds small bugs in the WebGPU kernels and names the stage where each begins. Without one, it
// passes.
#include "gate_fixture.h"
#include "wgpu/model.h"
#include "wgpu_fixture.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ostream>
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

struct Mutation {
  const char* name;
  std::vector<ShaderEdit> edits;
  Scene scene;
  Stage stage;  // of layer 0, the first outside
  bool needs_other_subgroups = false;
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
  };
  return all;
}

// The gate over the first layer of a tiny model, in exact numerics.
struct Bench : GateBench {
  Bench(Scene scene, std::vector<ShaderEdit> edits) : GateBench(models_dir + "tiny/tiny-Q4_K.gguf", 1) {
    use_prompts(contract::quick_subset(prompts));
    options.numerics = {Numerics::exact};
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
  Bench bench(mutation.scene, mutation.edits);
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::fail) << result.reason;
  const contract::CheckResult& leg = leg_of(result, 'X', Numerics::exact);
  EXPECT_EQ(leg.verdict, Verdict::fail) << leg.reason;
  ASSERT_TRUE(leg.first_divergence) << leg.reason;
  EXPECT_EQ(model::name_of(leg.first_divergence->stage), model::name_of(mutation.stage));
  EXPECT_EQ(leg.first_divergence->layer, 0);
  const std::string said = contract::summarise(result);
  EXPECT_NE(said.find("does NOT give the reference's answer"), std::string::npos) << said;
}

// A mutation must not fade away when a kernel changes.
TEST_P(WgslCaught, IsOfTextThatIsThere) {
  for (const ShaderEdit& edit : GetParam().edits) {
    std::size_t files = 0;
    for (const wgpu::ShaderFile& file : wgpu::shader_files())
      files += file.text.find(edit.from) != file.text.npos ? 1 : 0;
    EXPECT_EQ(files, 1u) << "write the mutation anew for what is there now: " << edit.from;
  }
}

INSTANTIATE_TEST_SUITE_P(Mutation, WgslCaught, testing::ValuesIn(mutations()),
                         [](const auto& tested) { return std::string(tested.param.name); });

class WgslControl : public testing::TestWithParam<Scene> {};

TEST_P(WgslControl, PassesWithoutAMutation) {
  if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  Bench bench(GetParam(), {});
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  for (const char leg : {'X', 'D', 'T'})
    EXPECT_EQ(leg_of(result, leg, Numerics::exact).verdict, Verdict::pass) << leg;
}

void PrintTo(Scene scene, std::ostream* out) {
  *out << (scene == Scene::as_it_is ? "AsItIs" : "EqualExperts");
}

INSTANTIATE_TEST_SUITE_P(Scenes, WgslControl, testing::Values(Scene::as_it_is, Scene::equal_experts),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace trine::test
