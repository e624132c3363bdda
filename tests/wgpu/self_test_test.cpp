// What the self-test at load finds, and what it does about it.
#include "device/self_test.h"

#include "compare.h"
#include "loaded_model.h"
#include "model/open_slot.h"
#include "reference/model.h"
#include "step_helpers.h"
#include "wgpu/model.h"
#include "wgpu_fixture.h"

#include <gtest/gtest.h>
#include <limits>
#include <memory>

namespace trine::test {
namespace {

using model::Numerics;
using wgpu::ShaderEdit;
using wgpu::WgpuModel;
using wgpu::WgpuOptions;

// Bugs that a driver might have, each in one variant of the kernels.
const ShaderEdit wrong_subgroup_sum = {"let sum = subgroupAdd(values[i]);", "let sum = values[i];"};
const ShaderEdit wrong_integer_dot = {"return dot4I8Packed(q.x, v.x) +", "return -dot4I8Packed(q.x, v.x) +"};
const ShaderEdit wrong_f16_store = {"cache[quad] = vec2(pack2x16float(values.xy),",
                                    "cache[quad] = vec2(pack2x16float(values.yx),"};
// And one in what every variant needs.
const ShaderEdit wrong_norm = {"return inverseSqrt(lanes_sum(sums, thread) / f32(COLUMNS) + eps);",
                               "return inverseSqrt(lanes_sum(sums, thread) / f32(COLUMNS) + 1.0);"};

class SelfTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  }

  static WgpuOptions options(Numerics numerics, std::vector<ShaderEdit> edits) {
    WgpuOptions result;
    result.device = wgpu::first_adapter;
    result.context = 128;
    result.numerics = numerics;
    result.threads = 2;
    result.shader_edits = std::move(edits);
    return result;
  }

  // Greedy tokens after a prompt, one row at a time.
  static std::vector<std::int32_t> greedy(model::DeviceModel& model, std::vector<std::int32_t> prompt,
                                          std::size_t n) {
    const auto slot = value_of(model::OpenSlot::open_whole(model));
    std::vector<std::int32_t> chosen;
    for (std::size_t i = 0; chosen.size() < n; ++i) {
      const std::int32_t token = i < prompt.size() ? prompt[i] : chosen.back();
      const auto position = static_cast<std::int32_t>(i);
      const auto output = value_of(model.run({{{token, position, slot.id(), model::Wants::logits}}}));
      if (i + 1 >= prompt.size()) chosen.push_back(argmax(output.logits));
    }
    return chosen;
  }

  std::vector<std::int32_t> reference_greedy(std::vector<std::int32_t> prompt, std::size_t n) const {
    ThreadPool pool(2);
    const reference::Model model(loaded.weights);
    reference::Sequence sequence;
    std::vector<std::int32_t> chosen, next = std::move(prompt);
    while (chosen.size() < n) {
      const auto logits = model.forward(sequence, next, false, pool, nullptr);
      if (!logits) throw std::runtime_error(to_string(logits.error()));
      chosen.push_back(argmax(*logits));
      next = {chosen.back()};
    }
    return chosen;
  }

  using Names = std::vector<std::string>;

  LoadedModel loaded{models_dir + "tiny/tiny-Q4_K.gguf"};
};

TEST_F(SelfTest, ASoundModelKeepsEverything) {
  for (const Numerics numerics : {Numerics::exact, Numerics::fast}) {
    const auto model = WgpuModel::load(loaded.weights, options(numerics, {}));
    ASSERT_TRUE(model) << to_string(model.error());
    EXPECT_EQ((*model)->describe().switched_off, Names());
    // A prefill as well, which load() leaves out on a software adapter.
    const auto tested = device::self_test(**model, loaded.weights, {.many_rows = true, .choices = true});
    EXPECT_TRUE(tested) << to_string(tested.error());
  }
}

TEST_F(SelfTest, AWrongVariantIsSwitchedOffAndTheAnswerIsRight) {
  const std::vector<std::int32_t> prompt = {11, 42, 7, 99, 3};
  const std::vector<std::int32_t> expected = reference_greedy(prompt, 6);
  const auto adapter = wgpu::choose_adapter(wgpu::first_adapter);
  ASSERT_TRUE(adapter) << to_string(adapter.error());
  struct Case {
    Names variants;
    std::vector<ShaderEdit> edits;
    Numerics numerics;
  };
  for (const Case& one :
       {Case{{"subgroups"}, {wrong_subgroup_sum}, Numerics::exact},
        Case{{"integer-dot"}, {wrong_integer_dot}, Numerics::fast},
        Case{{"f16"}, {wrong_f16_store}, Numerics::fast},
        Case{{"subgroups", "f16"}, {wrong_subgroup_sum, wrong_f16_store}, Numerics::fast}}) {
    SCOPED_TRACE(testing::PrintToString(one.variants));
    if (one.variants.front() == "subgroups" && !adapter->features.subgroups) continue;
    const auto model = WgpuModel::load(loaded.weights, options(one.numerics, one.edits));
    ASSERT_TRUE(model) << to_string(model.error());
    EXPECT_EQ((*model)->describe().switched_off, one.variants);
    EXPECT_EQ(greedy(**model, prompt, expected.size()), expected);
  }
}

// A driver may give a pipeline other subgroups than the kernel saw that looked for their size: right all the
// same, with nothing switched off.
TEST_F(SelfTest, OtherSubgroupsThanTheProbeSawAreRight) {
  const auto gpu = wgpu::Gpu::open({.device = wgpu::first_adapter});
  ASSERT_TRUE(gpu) << to_string(gpu.error());
  const std::uint32_t size = (*gpu)->subgroup_size();
  if (size == 0) GTEST_SKIP() << "this adapter has no subgroups of one size";
  for (const std::uint32_t seen : {size / 2, 2 * size}) {
    SCOPED_TRACE(testing::Message() << "seen as " << seen << " lanes");
    const ShaderEdit misled = {"const SUBGROUP_SIZE: u32 = " + std::to_string(size) + "u;",
                               "const SUBGROUP_SIZE: u32 = " + std::to_string(seen) + "u;"};
    const auto model = WgpuModel::load(loaded.weights, options(Numerics::exact, {misled}));
    ASSERT_TRUE(model) << to_string(model.error());
    EXPECT_EQ((*model)->describe().switched_off, Names());
  }
}

// Gives a norm one weight for all columns, kept in `bytes`.
void fill_norm(model::Weight& weight, float value, std::vector<std::byte>& bytes) {
  const std::vector<float> values(static_cast<std::size_t>(weight.columns), value);
  const auto raw = std::as_bytes(std::span(values));
  bytes.assign(raw.begin(), raw.end());
  weight.data = bytes.data();
}

// Kernels of many rows and of choices are judged at load, and on a software adapter when they are first used.
TEST_F(SelfTest, WrongTilesAndChoicesAreErrorsBeforeTheyAreUsed) {
  const ShaderEdit wrong_tile = {"(*sums).lane[at] = vec4(0.0);", "(*sums).lane[at] = (*sums).lane[at];"};
  const ShaderEdit wrong_choice = {"draw_number = choice.draw;", "draw_number = choice.draw + vec2(1u, 0u);"};
  const auto outcome = [&](const ShaderEdit& bug, std::int32_t rows, model::Wants wants) -> Result<void> {
    TRINE_TRY(const auto model, WgpuModel::load(loaded.weights, options(Numerics::exact, {bug})));
    TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(*model));
    model::Step step;
    for (std::int32_t i = 0; i < rows; ++i) step.rows.push_back({i + 1, i, slot.id()});
    step.rows.back().wants = wants;
    TRINE_CHECK_OK(model->run(step));
    return {};
  };
  const Result<void> tile = outcome(wrong_tile, 20, model::Wants::logits);
  ASSERT_FALSE(tile);
  EXPECT_EQ(tile.error().where, "layer 0, qkv");
  EXPECT_NE(tile.error().hint.find("self-test"), std::string::npos) << to_string(tile.error());
  const Result<void> choice = outcome(wrong_choice, 1, model::Wants::token);
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().what, "a kernel chooses wrong tokens");
}

// No kernel is wrong because a model has no numbers.
TEST_F(SelfTest, AModelOfNaNIsLoaded) {
  const auto with_nan = [&](model::Weight& weight, std::vector<std::byte>& bytes) {
    fill_norm(weight, std::numeric_limits<float>::quiet_NaN(), bytes);
  };
  std::vector<std::byte> attention, experts;
  model::Weights weights = loaded.weights;
  with_nan(weights.layers[0].ffn_norm, experts);
  const auto late = WgpuModel::load(weights, options(Numerics::exact, {}));
  EXPECT_TRUE(late) << to_string(late.error());
  with_nan(weights.layers[0].attn_norm, attention);
  const auto early = WgpuModel::load(weights, options(Numerics::fast, {}));
  ASSERT_TRUE(early) << to_string(early.error());
  EXPECT_EQ((*early)->describe().switched_off, Names());
}

// Nor because its activations are so small that f32, or a cache of f16, has no number for their products.
TEST_F(SelfTest, ActivationsThatUnderflowBlameNoKernel) {
  std::vector<std::byte> attention, experts;
  for (const float small : {1e-27f, 1e-37f}) {
    model::Weights weights = loaded.weights;
    fill_norm(weights.layers[0].attn_norm, small, attention);
    fill_norm(weights.layers[0].ffn_norm, small, experts);
    for (const Numerics numerics : {Numerics::exact, Numerics::fast}) {
      const auto model = WgpuModel::load(weights, options(numerics, {}));
      ASSERT_TRUE(model) << to_string(model.error());
      EXPECT_EQ((*model)->describe().switched_off, Names()) << small;
    }
  }
}

TEST_F(SelfTest, AWrongPlainKernelIsAnErrorThatNamesTheStage) {
  const auto model = WgpuModel::load(loaded.weights, options(Numerics::exact, {wrong_norm}));
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::inference);
  EXPECT_EQ(model.error().where, "layer 0, attn_norm");
  EXPECT_NE(to_string(model.error()).find("self-test"), std::string::npos) << to_string(model.error());
}

TEST_F(SelfTest, WithoutItAWrongKernelIsUsed) {
  WgpuOptions untested = options(Numerics::exact, {wrong_norm});
  untested.self_test = false;
  const auto model = WgpuModel::load(loaded.weights, untested);
  ASSERT_TRUE(model) << to_string(model.error());
  EXPECT_FALSE(device::self_test(**model, loaded.weights, {}));
}

TEST_F(SelfTest, AKernelThatDoesNotCompileIsNamed) {
  const ShaderEdit broken = {"fn activations4(row: u32", "fn activations4(row: no_such_type"};
  const auto model = WgpuModel::load(loaded.weights, options(Numerics::exact, {broken}));
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::inference);
  EXPECT_EQ(model.error().where, "embed") << to_string(model.error());
  EXPECT_NE(to_string(model.error()).find("no_such_type"), std::string::npos) << to_string(model.error());
}

// An edit that nothing contains would test nothing.
TEST_F(SelfTest, EveryEditIsOfTextThatIsThere) {
  for (const ShaderEdit& edit : {wrong_subgroup_sum, wrong_integer_dot, wrong_f16_store, wrong_norm}) {
    std::size_t files = 0;
    for (const EmbeddedFile& file : wgpu::shader_files())
      files += file.text.find(edit.from) != file.text.npos ? 1 : 0;
    EXPECT_EQ(files, 1u) << edit.from;
  }
}

}  // namespace
}  // namespace trine::test
