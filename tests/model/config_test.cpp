#include "model/config.h"

#include "model/fake_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

namespace trine::model {
namespace {

using test::GgufBuilder;
using testing::HasSubstr;

Result<Config> read(const GgufBuilder& builder) {
  const std::string bytes = builder.build();
  const auto file = gguf::File::parse(test::as_bytes(bytes), "fake.gguf");
  if (!file) return fail(file.error());
  return read_config(*file);
}

void expect_refused(const GgufBuilder& builder, ErrorCode code, const std::vector<std::string>& parts) {
  const auto config = read(builder);
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().code, code) << to_string(config.error());
  EXPECT_THAT(config.error().where, HasSubstr("fake.gguf"));
  for (const std::string& part : parts) EXPECT_THAT(to_string(config.error()), HasSubstr(part));
}

GgufBuilder fake() {
  return test::fake_model();
}

Result<Config> read_model(const std::string& name) {
  const auto file = gguf::File::open(std::string(TRINE_SOURCE_DIR) + "/models/" + name);
  if (!file) return fail(file.error());
  return read_config(*file);
}

// ---- what is right ----

TEST(Config, OfTheDemoModel) {  // as gguf-py lists its metadata
  const auto config = read_model("demo-coder-Q4_K_M.gguf");
  ASSERT_TRUE(config.has_value()) << to_string(config.error());
  EXPECT_EQ(config->architecture, "qwen3moe");
  EXPECT_EQ(config->name, "Trine Demo Coder 40M-A15M");
  EXPECT_EQ(config->n_layers, 8);
  EXPECT_EQ(config->hidden_size, 512);
  EXPECT_EQ(config->n_heads, 4);
  EXPECT_EQ(config->n_kv_heads, 2);
  EXPECT_EQ(config->head_dim, 128);
  EXPECT_EQ(config->q_size(), 512);
  EXPECT_EQ(config->kv_size(), 256);
  EXPECT_EQ(config->n_experts, 8);
  EXPECT_EQ(config->experts_per_token, 2);
  EXPECT_EQ(config->expert_ffn_size, 256);
  EXPECT_EQ(config->vocab_size, 8192);
  EXPECT_EQ(config->context_length, 2048);
  EXPECT_EQ(config->rms_norm_eps, 1e-6f);
  EXPECT_EQ(config->rope_theta, 1e6);
  EXPECT_EQ(config->rope_scaling.kind, RopeScaling::Kind::none);
}

TEST(Config, OfATinyModel) {
  const auto config = read_model("tiny/tied-Q4_K_M.gguf");
  ASSERT_TRUE(config.has_value()) << to_string(config.error());
  EXPECT_EQ(config->n_layers, 2);
  EXPECT_EQ(config->hidden_size, 256);
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->n_kv_heads, 1);
  EXPECT_EQ(config->experts_per_token, 3);
  EXPECT_EQ(config->vocab_size, 509);
}

std::vector<std::string> keys_of(const std::vector<Assumed>& assumed) {
  std::vector<std::string> keys;
  for (const Assumed& one : assumed) keys.push_back(one.key + " = " + one.value);
  return keys;
}

TEST(Config, DefaultsForWhatAFileMayLeaveOut) {
  GgufBuilder builder = fake();
  builder.remove("general.name").remove("tokenizer.ggml.tokens");
  // 64 / 4 is the head size of the fake model; its K is half of Q, so head_count_kv stays.
  builder.u32("qwen3moe.embedding_length", 64);
  for (const std::string key :
       {"attention.value_length", "attention.key_length", "expert_feed_forward_length", "rope.freq_base"})
    builder.remove("qwen3moe." + key);
  const auto config = read(builder);
  ASSERT_TRUE(config.has_value()) << to_string(config.error());
  EXPECT_EQ(config->name, "");
  EXPECT_EQ(config->vocab_size, 10);
  EXPECT_EQ(config->head_dim, 16);
  EXPECT_EQ(config->expert_ffn_size, 64);
  EXPECT_EQ(config->rope_theta, 10000);
  EXPECT_THAT(
      keys_of(config->assumed),
      testing::ElementsAre("qwen3moe.attention.key_length = 16", "qwen3moe.attention.value_length = 16",
                           "qwen3moe.expert_feed_forward_length = 64", "qwen3moe.rope.freq_base = 10000"));
  EXPECT_THAT(config->warnings,
              testing::ElementsAre(testing::AllOf(HasSubstr("qwen3moe.rope.freq_base"), HasSubstr("10000"))));
  const auto as_many = read(fake().remove("qwen3moe.attention.head_count_kv"));
  ASSERT_TRUE(as_many.has_value());
  EXPECT_EQ(as_many->n_kv_heads, 4);
  EXPECT_TRUE(read(fake())->assumed.empty());
  EXPECT_TRUE(read(fake())->warnings.empty());
}

TEST(Config, TheWidthOfExpertsIsThatOfTheirTensors) {
  const auto width = [](GgufBuilder builder) {
    builder.remove("qwen3moe.expert_feed_forward_length");
    const auto config = read(builder);
    return config ? config->expert_ffn_size : -1;
  };
  EXPECT_EQ(width(fake()), 64);
  GgufBuilder fused = fake();
  fused.remove_tensor("blk.0.ffn_gate_exps.weight");
  EXPECT_EQ(width(fused), 64) << "by ffn_down_exps";
  test::add_tensor(fused, "blk.0.ffn_gate_up_exps.weight", {32, 96, 4});
  EXPECT_EQ(width(fused), 48) << "gate and up in one";
  GgufBuilder none = fake();
  for (const std::string name : {"gate", "up", "down"})
    none.remove_tensor("blk.0.ffn_" + name + "_exps.weight");
  EXPECT_EQ(width(none), -1);
  // What is stated must hold, whatever the tensors say: load_weights() compares.
  EXPECT_EQ(read(fake().u32("qwen3moe.expert_feed_forward_length", 63))->expert_ffn_size, 63);
}

// ---- rope scaling ----

TEST(RopeScaling, Linear) {
  const auto config =
      read(fake().string("qwen3moe.rope.scaling.type", "linear").f32("qwen3moe.rope.scaling.factor", 4));
  ASSERT_TRUE(config.has_value()) << to_string(config.error());
  EXPECT_EQ(config->rope_scaling.kind, RopeScaling::Kind::linear);
  EXPECT_EQ(config->rope_scaling.factor, 4);
  // A factor without a type is linear too, as in llama.cpp.
  const auto bare = read(fake().f32("qwen3moe.rope.scaling.factor", 2));
  ASSERT_TRUE(bare.has_value());
  EXPECT_EQ(bare->rope_scaling.kind, RopeScaling::Kind::linear);
}

TEST(RopeScaling, NoneIgnoresTheFactor) {
  const auto config =
      read(fake().string("qwen3moe.rope.scaling.type", "none").f32("qwen3moe.rope.scaling.factor", 4));
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->rope_scaling.kind, RopeScaling::Kind::none);
  EXPECT_EQ(config->rope_scaling.factor, 1);
}

TEST(RopeScaling, YarnWithDefaults) {
  const auto config =
      read(fake().string("qwen3moe.rope.scaling.type", "yarn").f32("qwen3moe.rope.scaling.factor", 4));
  ASSERT_TRUE(config.has_value()) << to_string(config.error());
  const RopeScaling& scaling = config->rope_scaling;
  EXPECT_EQ(scaling.kind, RopeScaling::Kind::yarn);
  EXPECT_EQ(scaling.factor, 4);
  EXPECT_EQ(scaling.original_context_length, 128);
  EXPECT_EQ(scaling.beta_fast, 32);
  EXPECT_EQ(scaling.beta_slow, 1);
  EXPECT_DOUBLE_EQ(scaling.attention_factor, 1.138629436111989);  // Python: 0.1 * math.log(4) + 1
}

TEST(RopeScaling, YarnWithEveryKey) {
  GgufBuilder builder = fake();
  builder.string("qwen3moe.rope.scaling.type", "yarn").f32("qwen3moe.rope.scaling.factor", 4);
  builder.u32("qwen3moe.rope.scaling.original_context_length", 64)
      .f32("qwen3moe.rope.scaling.attn_factor", 2);
  builder.f32("qwen3moe.rope.scaling.yarn_ext_factor", 1).f32("qwen3moe.rope.scaling.yarn_beta_fast", 16);
  builder.f32("qwen3moe.rope.scaling.yarn_beta_slow", 2);
  const auto config = read(builder);
  ASSERT_TRUE(config.has_value()) << to_string(config.error());
  const RopeScaling& scaling = config->rope_scaling;
  EXPECT_EQ(scaling.original_context_length, 64);
  EXPECT_EQ(scaling.beta_fast, 16);
  EXPECT_EQ(scaling.beta_slow, 2);
  EXPECT_DOUBLE_EQ(scaling.attention_factor, 2 * 1.138629436111989);
}

TEST(RopeScaling, RefusesWhatItDoesNotKnow) {
  const auto yarn = [] {
    return fake().string("qwen3moe.rope.scaling.type", "yarn").f32("qwen3moe.rope.scaling.factor", 4);
  };
  expect_refused(fake().string("qwen3moe.rope.scaling.type", "longrope"), ErrorCode::unsupported,
                 {"rope.scaling.type", "none, linear or yarn", "'longrope'"});
  expect_refused(fake().u32("qwen3moe.rope.scaling.type", 1), ErrorCode::model_load,
                 {"rope.scaling.type", "expected string, got uint32"});
  expect_refused(yarn().remove("qwen3moe.rope.scaling.factor"), ErrorCode::model_load,
                 {"rope.scaling.factor"});
  expect_refused(yarn().f32("qwen3moe.rope.scaling.factor", 0), ErrorCode::model_load,
                 {"rope.scaling.factor"});
  expect_refused(yarn().f32("qwen3moe.rope.scaling.factor", std::numeric_limits<float>::quiet_NaN()),
                 ErrorCode::model_load, {"rope.scaling.factor", "nan"});
  expect_refused(yarn().i32("qwen3moe.rope.scaling.original_context_length", -4), ErrorCode::model_load,
                 {"original_context_length", "got -4"});
  expect_refused(yarn().f32("qwen3moe.rope.scaling.yarn_beta_slow", 64), ErrorCode::model_load,
                 {"yarn_beta_slow", "at most yarn_beta_fast, 32"});
}

// ---- what is refused ----

TEST(ConfigRefusal, Architectures) {
  expect_refused(fake().string("general.architecture", "qwen3"), ErrorCode::unsupported,
                 {"architecture", "expected qwen3moe, got 'qwen3'"});
  expect_refused(fake().remove("general.architecture"), ErrorCode::model_load,
                 {"missing", "general.architecture"});
  expect_refused(fake().u32("general.architecture", 1), ErrorCode::model_load,
                 {"expected string, got uint32"});
}

constexpr const char* required_integers[] = {"block_count",  "embedding_length",  "attention.head_count",
                                             "expert_count", "expert_used_count", "context_length"};
constexpr const char* optional_integers[] = {"attention.head_count_kv", "attention.key_length",
                                             "expert_feed_forward_length"};

TEST(ConfigRefusal, EveryIntegerKeyMissingOrImpossible) {
  std::vector<std::string> suffixes(std::begin(optional_integers), std::end(optional_integers));
  for (const std::string suffix : required_integers) {
    const std::string key = "qwen3moe." + suffix;
    expect_refused(fake().remove(key), ErrorCode::model_load, {"missing", "'" + key + "'"});
    expect_refused(fake().u32(key, 0), ErrorCode::model_load, {key, "impossible", "got 0"});
    suffixes.push_back(suffix);
  }
  for (const std::string& suffix : suffixes) {
    const std::string key = "qwen3moe." + suffix;
    expect_refused(fake().string(key, "8"), ErrorCode::model_load, {key, "expected an integer, got string"});
    expect_refused(fake().f32(key, 8), ErrorCode::model_load, {key, "expected an integer, got float32"});
    expect_refused(fake().i32(key, -1), ErrorCode::model_load, {key, "impossible", "got -1"});
    expect_refused(fake().u64(key, ~std::uint64_t{0}), ErrorCode::model_load,
                   {key, "got 18446744073709551615"});
    expect_refused(fake().u32s(key, {4, 5}), ErrorCode::unsupported,
                   {key, "differ by layer", "array of uint32"});
    expect_refused(fake().u32s(key, {}), ErrorCode::model_load, {key, "impossible", "an empty array"});
  }
}

TEST(ConfigRefusal, EveryNumberKeyMissingOrImpossible) {
  for (const std::string suffix : {"attention.layer_norm_rms_epsilon", "rope.freq_base"}) {
    const std::string key = "qwen3moe." + suffix;
    if (!suffix.starts_with("rope"))
      expect_refused(fake().remove(key), ErrorCode::model_load, {"missing", "'" + key + "'"});
    expect_refused(fake().string(key, "1"), ErrorCode::model_load, {key, "expected a number, got string"});
    for (const float bad :
         {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
      expect_refused(fake().f32(key, bad), ErrorCode::model_load, {key, "impossible"});
  }
  expect_refused(fake().f32("qwen3moe.attention.layer_norm_rms_epsilon", 1), ErrorCode::model_load,
                 {"got 1"});
}

TEST(ConfigRefusal, KeysThatContradictEachOther) {
  expect_refused(fake().u32("qwen3moe.attention.head_count_kv", 3), ErrorCode::model_load,
                 {"head_count_kv", "a divisor of 4 heads", "got 3"});
  expect_refused(fake().u32("qwen3moe.attention.key_length", 15), ErrorCode::model_load,
                 {"key_length", "an even number", "got 15"});
  expect_refused(fake().u32("qwen3moe.expert_used_count", 5), ErrorCode::model_load,
                 {"expert_used_count", "at most 4 experts", "got 5"});
  expect_refused(fake().u32("qwen3moe.attention.value_length", 8), ErrorCode::unsupported,
                 {"value_length", "16, the key length", "got 8"});
  expect_refused(fake().u32("qwen3moe.rope.dimension_count", 8), ErrorCode::unsupported,
                 {"rope.dimension_count", "the whole head", "got 8"});
}

TEST(ConfigRefusal, VocabulariesThatDisagree) {
  expect_refused(fake().remove_tensor("token_embd.weight"), ErrorCode::model_load,
                 {"missing", "tensor 'token_embd.weight'"});
  expect_refused(fake().strings("tokenizer.ggml.tokens", {"a", "b"}), ErrorCode::model_load,
                 {"tokenizer.ggml.tokens", "expected 10 tokens", "got 2 tokens"});
  expect_refused(fake().u32("tokenizer.ggml.tokens", 10), ErrorCode::model_load,
                 {"tokenizer.ggml.tokens", "expected array of string, got uint32"});
  expect_refused(fake().u32("qwen3moe.vocab_size", 11), ErrorCode::model_load,
                 {"qwen3moe.vocab_size", "10, the rows of token_embd.weight", "got 11"});
  GgufBuilder flat = fake();
  flat.remove_tensor("token_embd.weight");
  test::add_tensor(flat, "token_embd.weight", {320});
  expect_refused(flat, ErrorCode::model_load, {"token_embd.weight", "impossible shape", "got 320"});
}

}  // namespace
}  // namespace trine::model
