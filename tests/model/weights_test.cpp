#include "model/weights.h"

#include "model/fake_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <bit>
#include <cstring>
#include <filesystem>
#include <set>

namespace trine::model {
namespace {

using test::GgufBuilder;
using testing::HasSubstr;

void expect_unloadable(const GgufBuilder& builder, ErrorCode code, const std::vector<std::string>& parts) {
  const std::string bytes = builder.build();
  const auto file = gguf::File::parse(test::as_bytes(bytes), "fake.gguf");
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  const auto weights = load_weights(*file);
  ASSERT_FALSE(weights.has_value());
  EXPECT_EQ(weights.error().code, code) << to_string(weights.error());
  EXPECT_THAT(weights.error().where, HasSubstr("fake.gguf"));
  for (const std::string& part : parts) EXPECT_THAT(to_string(weights.error()), HasSubstr(part));
}

// The fake model with one tensor laid out differently.
GgufBuilder with(const std::string& name, std::vector<std::uint64_t> dims,
                 std::uint32_t type = test::id_f32) {
  GgufBuilder builder = test::fake_model();
  builder.remove_tensor(name);
  test::add_tensor(builder, name, std::move(dims), type);
  return builder;
}

TEST(Weights, OfTheFakeModel) {
  const std::string bytes = test::fake_model().build();
  const auto file = gguf::File::parse(test::as_bytes(bytes), "fake.gguf");
  ASSERT_TRUE(file.has_value());
  const auto weights = load_weights(*file);
  ASSERT_TRUE(weights.has_value()) << to_string(weights.error());
  EXPECT_FALSE(weights->tied);
  EXPECT_EQ(weights->output.tensor, file->find_tensor("output.weight"));
  EXPECT_EQ(weights->output.codec->type, gguf::TensorType::F16);
  EXPECT_EQ(weights->output_norm.rows, 1);
  EXPECT_EQ(weights->output_norm.columns, 32);
  ASSERT_EQ(weights->layers.size(), 2u);

  const Weight& q = weights->layers[1].attn_q;
  EXPECT_EQ(q.tensor->name, "blk.1.attn_q.weight");
  EXPECT_EQ(q.rows, 64);
  EXPECT_EQ(q.columns, 32);
  EXPECT_EQ(q.experts, 1);
  EXPECT_EQ(q.row(3) - q.data, 3 * 32 * 4);

  const Weight& down = weights->layers[1].expert_down;
  EXPECT_EQ(down.tensor->name, "blk.1.ffn_down_exps.weight");
  EXPECT_EQ(down.codec->type, gguf::TensorType::Q8_0);
  EXPECT_EQ(down.rows, 32);
  EXPECT_EQ(down.columns, 64);
  EXPECT_EQ(down.experts, 4);
  EXPECT_EQ(down.row_bytes, 68u);
  EXPECT_EQ(down.row(5, 2) - down.data, (2 * 32 + 5) * 68);
  EXPECT_EQ(down.data, down.tensor->data.data());
}

TEST(Weights, OfEveryModelOfTheRepository) {
  const std::string models = std::string(TRINE_SOURCE_DIR) + "/models";
  int loaded = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(models)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = gguf::File::open(entry.path().string());
    ASSERT_TRUE(file.has_value()) << to_string(file.error());
    const auto weights = load_weights(*file);
    ASSERT_TRUE(weights.has_value()) << to_string(weights.error());
    EXPECT_EQ(weights->tied, entry.path().filename() == "tied-Q4_K_M.gguf");
    ++loaded;
  }
  EXPECT_GE(loaded, 17);
}

TEST(Weights, TiedModelsUseTheEmbeddingAsOutput) {
  const std::string bytes = test::fake_model().remove_tensor("output.weight").build();
  const auto file = gguf::File::parse(test::as_bytes(bytes), "fake.gguf");
  ASSERT_TRUE(file.has_value());
  const auto weights = load_weights(*file);
  ASSERT_TRUE(weights.has_value()) << to_string(weights.error());
  EXPECT_TRUE(weights->tied);
  EXPECT_EQ(weights->output.tensor, file->find_tensor("token_embd.weight"));
  EXPECT_EQ(weights->output.data, weights->embed.data);
}

// One expert: writers may store the outer dimension of 1 or leave it out.
TEST(Weights, OuterDimensionsOfOneMayBeLeftOut) {
  for (const bool leave_out : {false, true}) {
    GgufBuilder builder = test::fake_model();
    builder.u32("qwen3moe.expert_count", 1).u32("qwen3moe.expert_used_count", 1);
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      const auto replace = [&](const std::string& name, std::vector<std::uint64_t> dims) {
        if (!leave_out) dims.push_back(1);
        builder.remove_tensor(layer + name);
        test::add_tensor(builder, layer + name, dims);
      };
      replace("ffn_gate_inp.weight", {32});
      replace("ffn_gate_exps.weight", {32, 64});
      replace("ffn_up_exps.weight", {32, 64});
      replace("ffn_down_exps.weight", {64, 32});
    }
    const std::string bytes = builder.build();
    const auto file = gguf::File::parse(test::as_bytes(bytes), "fake.gguf");
    ASSERT_TRUE(file.has_value());
    const auto weights = load_weights(*file);
    ASSERT_TRUE(weights.has_value()) << to_string(weights.error());
    EXPECT_EQ(weights->layers[0].router.rows, 1);
    EXPECT_EQ(weights->layers[0].expert_down.experts, 1);
    EXPECT_EQ(weights->layers[0].expert_down.rows, 32);
  }
}

TEST(Weights, EveryTensorButTheOutputIsRequired) {
  for (const TensorRule& rule : tensor_table()) {
    std::string name = rule.pattern;
    if (const auto at = name.find("{}"); at != std::string::npos) {
      name[at] = '1';
      name.erase(at + 1, 1);
    }
    if (!rule.required) {
      EXPECT_EQ(name, "output.weight");
      continue;
    }
    expect_unloadable(test::fake_model().remove_tensor(name), ErrorCode::model_load,
                      {"tensor is missing", "tensor '" + name + "'"});
  }
}

TEST(Weights, MisshapenTensors) {
  expect_unloadable(with("blk.0.attn_q.weight", {32, 32}), ErrorCode::model_load,
                    {"wrong shape", "tensor 'blk.0.attn_q.weight'", "expected 32 x 64", "got 32 x 32"});
  expect_unloadable(with("blk.1.attn_output.weight", {32, 64}), ErrorCode::model_load,
                    {"expected 64 x 32", "got 32 x 64"});
  expect_unloadable(with("blk.1.ffn_down_exps.weight", {32, 64, 4}), ErrorCode::model_load,
                    {"expected 64 x 32 x 4", "got 32 x 64 x 4"});
  expect_unloadable(with("blk.0.ffn_up_exps.weight", {32, 64, 3}), ErrorCode::model_load,
                    {"got 32 x 64 x 3"});
  expect_unloadable(with("blk.0.ffn_gate_inp.weight", {32, 8}), ErrorCode::model_load, {"expected 32 x 4"});
  expect_unloadable(with("blk.0.attn_k_norm.weight", {32}), ErrorCode::model_load, {"expected 16", "got 32"});
  expect_unloadable(with("output.weight", {32, 11}), ErrorCode::model_load,
                    {"expected 32 x 10", "got 32 x 11"});
  expect_unloadable(with("output_norm.weight", {16, 2}), ErrorCode::model_load,
                    {"expected 32", "got 16 x 2"});
}

// What they become is compared with an independent computation in tests/reference/variants_test.cpp.
TEST(Weights, NormsAndTheRouterBecomeF32) {
  for (const TensorRule& rule : tensor_table()) {
    const std::string role = rule.role;
    EXPECT_EQ(rule.as_f32, role == "router" || role.ends_with("norm")) << role;
  }
  GgufBuilder builder = with("blk.1.ffn_gate_inp.weight", {32, 4}, test::id_q8_0);
  builder.remove_tensor("output_norm.weight");
  test::add_tensor(builder, "output_norm.weight", {32}, test::id_f16);
  const std::string bytes = builder.build();
  const auto file = gguf::File::parse(test::as_bytes(bytes), "fake.gguf");
  ASSERT_TRUE(file.has_value());
  const auto weights = load_weights(*file);
  ASSERT_TRUE(weights.has_value()) << to_string(weights.error());
  EXPECT_EQ(weights->widened.size(), 2u);
  for (const Weight* weight : {&weights->layers[1].router, &weights->output_norm}) {
    const gguf::TensorInfo* stored = file->find_tensor(weight->tensor->name);
    ASSERT_NE(stored, nullptr) << "the name stays";
    EXPECT_EQ(weight->tensor->type, gguf::TensorType::F32);
    EXPECT_EQ(weight->codec->type, gguf::TensorType::F32);
    EXPECT_EQ(weight->row_bytes, 32u * 4);
    std::vector<float> expected(32);
    (*quant::find_codec(stored->type))->decode_row(stored->data.data(), 32, expected.data());
    std::vector<float> actual(32);
    std::memcpy(actual.data(), weight->row(0), 32 * 4);
    for (std::size_t i = 0; i < 32; ++i)
      EXPECT_EQ(std::bit_cast<std::uint32_t>(actual[i]), std::bit_cast<std::uint32_t>(expected[i])) << i;
  }
  EXPECT_EQ(weights->layers[0].router.tensor, file->find_tensor("blk.0.ffn_gate_inp.weight"));
}

// Several weights in one tensor.
TEST(Weights, FusedTensorsAreReadInPlace) {
  GgufBuilder builder = test::fake_model();
  for (const std::string name : {"attn_q", "attn_k", "attn_v", "ffn_gate_exps", "ffn_up_exps"})
    builder.remove_tensor("blk.1." + name + ".weight");
  test::add_tensor(builder, "blk.1.attn_qkv.weight", {32, 128});
  test::add_tensor(builder, "blk.1.ffn_gate_up_exps.weight", {32, 128, 4}, test::id_q8_0);
  const std::string bytes = builder.build();
  const auto file = gguf::File::parse(test::as_bytes(bytes), "fake.gguf");
  ASSERT_TRUE(file.has_value());
  const auto weights = load_weights(*file);
  ASSERT_TRUE(weights.has_value()) << to_string(weights.error());
  const LayerWeights& layer = weights->layers[1];
  const std::byte* qkv = file->find_tensor("blk.1.attn_qkv.weight")->data.data();
  EXPECT_EQ(layer.attn_q.row(0) - qkv, 0);
  EXPECT_EQ(layer.attn_q.rows, 64);
  EXPECT_EQ(layer.attn_k.row(0) - qkv, 64 * 32 * 4);
  EXPECT_EQ(layer.attn_k.rows, 32);
  EXPECT_EQ(layer.attn_v.row(31) - qkv, (96 + 31) * 32 * 4);
  const std::byte* experts = file->find_tensor("blk.1.ffn_gate_up_exps.weight")->data.data();
  EXPECT_EQ(layer.expert_gate.row(3, 2) - experts, (2 * 128 + 3) * 34);
  EXPECT_EQ(layer.expert_up.row(3, 2) - experts, (2 * 128 + 64 + 3) * 34);
  EXPECT_EQ(layer.expert_up.rows, 64);
  EXPECT_EQ(layer.expert_up.expert_bytes(), 64u * 34);
  EXPECT_EQ(layer.expert_down.expert_stride, layer.expert_down.expert_bytes());

  GgufBuilder both = test::fake_model();
  test::add_tensor(both, "blk.1.attn_qkv.weight", {32, 128});
  expect_unloadable(both, ErrorCode::unsupported, {"there twice", "blk.1.attn_qkv.weight"});
  // One part alone: its rows in the fused tensor would be left out in silence.
  for (const bool experts : {false, true}) {
    GgufBuilder half = test::fake_model();
    for (const char* part : {"ffn_gate_exps", "ffn_up_exps", "attn_q", "attn_k", "attn_v"})
      half.remove_tensor(fmt::format("blk.1.{}.weight", part));
    test::add_tensor(half, "blk.1.attn_qkv.weight", {32, 128});
    test::add_tensor(half, "blk.1.ffn_gate_up_exps.weight", {32, 128, 4});
    const std::string part = experts ? "blk.1.ffn_up_exps.weight" : "blk.1.attn_q.weight";
    test::add_tensor(half, part,
                     experts ? std::vector<std::uint64_t>{32, 64, 4} : std::vector<std::uint64_t>{32, 64});
    expect_unloadable(half, ErrorCode::unsupported, {"there twice", "'" + part + "'"});
  }
  GgufBuilder short_one = test::fake_model();
  short_one.remove_tensor("blk.0.attn_q.weight");
  test::add_tensor(short_one, "blk.0.attn_qkv.weight", {32, 64});
  expect_unloadable(short_one, ErrorCode::model_load,
                    {"wrong shape", "'blk.0.attn_qkv.weight'", "expected 32 x 128", "got 32 x 64"});
}

TEST(Weights, ExpertsStoredOneByOneAreRefusedWithTheToolThatMergesThem) {
  GgufBuilder builder = test::fake_model();
  builder.remove_tensor("blk.0.ffn_gate_exps.weight");
  for (int expert = 0; expert < 4; ++expert)
    test::add_tensor(builder, "blk.0.ffn_gate." + std::to_string(expert) + ".weight", {32, 64});
  expect_unloadable(builder, ErrorCode::unsupported,
                    {"one by one", "'blk.0.ffn_gate.0.weight'", "convert_hf_to_gguf.py"});
}

TEST(Weights, TypesWithoutACodecAreNamed) {
  constexpr std::uint32_t id_i32 = 26;
  GgufBuilder builder = test::fake_model();
  builder.remove_tensor("blk.0.attn_q.weight").tensor("blk.0.attn_q.weight", {32, 64}, id_i32, 32 * 64 * 4);
  expect_unloadable(builder, ErrorCode::unsupported, {"tensor 'blk.0.attn_q.weight'", "I32"});
}

TEST(Weights, TensorsThatWouldBeIgnoredAreRefused) {
  for (const std::string name :
       {"blk.0.attn_q.bias", "blk.2.attn_norm.weight", "blk.0.ffn_gate.weight", "blk.1.ffn_gate_shexp.weight",
        "rope_freqs.weight", "blk.00.attn_q.weight"}) {
    GgufBuilder builder = test::fake_model();
    test::add_tensor(builder, name, {32});
    expect_unloadable(builder, ErrorCode::unsupported, {"unexpected tensor", "'" + name + "'", "2 layers"});
  }
  // The same file that says it has one layer less.
  expect_unloadable(test::fake_model().u32("qwen3moe.block_count", 1), ErrorCode::unsupported,
                    {"unexpected tensor", "'blk.1.attn_norm.weight'", "1 layers"});
  expect_unloadable(test::fake_model().u32("qwen3moe.block_count", 4096), ErrorCode::model_load,
                    {"tensor is missing", "'blk.2.attn_norm.weight'"});
}

TEST(TensorTable, EachRuleGoesToOnePlaceOfItsOwn) {
  std::set<std::string> patterns;
  for (const TensorRule& rule : tensor_table()) {
    EXPECT_TRUE(patterns.insert(rule.pattern).second) << rule.pattern;
    EXPECT_NE(rule.of_layer == nullptr, rule.of_model == nullptr) << rule.role;
    EXPECT_EQ(rule.of_layer != nullptr, std::string(rule.pattern).find("{}") != std::string::npos)
        << rule.role;
  }
  // The tensors gguf-py 0.19.0 lists for MODEL_ARCH.QWEN3MOE.
  EXPECT_EQ(patterns.size(), 15u);
}

}  // namespace
}  // namespace trine::model
