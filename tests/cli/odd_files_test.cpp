// Files as people have them: the demo model with one thing changed, each as a user meets it. Each stands for
// its kind, of which tests/model, tests/text and tests/reference have tables.
#include "cli/subprocess.h"
#include "edited_model.h"
#include "fused_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace trine::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

#ifdef TRINE_HAS_CPU

class OddFile : public testing::Test {
 protected:
  EditedModel model{model_path("demo-coder-Q4_K_M.gguf")};

  void set(const std::string& suffix, gguf::Value value) {
    model.set("qwen3moe." + suffix, std::move(value));
  }

  Outcome trine(std::vector<std::string> arguments) {
    if (!written_) {
      model.write(file_.path());
      written_ = true;
    }
    arguments.insert(arguments.begin() + 1, {"-m", file_.path()});
    return run_trine(std::move(arguments));
  }
  json run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"run", "--json", "--temperature", "0", "-n", "24"});
    last = trine(std::move(arguments));
    EXPECT_EQ(last.status, 0) << last.err;
    return last.status == 0 ? json::parse(last.out) : json();
  }
  json inspect() {
    if (!written_) model.write(file_.path());
    written_ = true;
    const Outcome outcome = run_trine({"inspect", file_.path(), "--json"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  static std::string usual_text() {
    const Outcome outcome = run_trine({"run", "--json", "--temperature", "0", "-n", "24", "hello"});
    return json::parse(outcome.out).at("text");
  }
  // Runs, says what the demo model says, and inspect agrees.
  void expect_runs_as_usual() {
    EXPECT_EQ(run({"hello"}).at("text"), usual_text());
    EXPECT_EQ(run({"hello"}).at("finish_reason"), "end_of_generation");
    EXPECT_TRUE(inspect().at("runnable"));
  }
  void expect_warning(const std::string& part) {
    EXPECT_THAT(last.err, HasSubstr("warning: "));
    EXPECT_THAT(last.err, HasSubstr(part));
    EXPECT_THAT(inspect().at("warnings").dump(), HasSubstr(part));
  }

  Outcome last;

 private:
  TemporaryFile file_{"", ".gguf"};
  bool written_ = false;
};

TEST_F(OddFile, PaddingOutOfRangeIsAWarning) {
  model.set("tokenizer.ggml.padding_token_id", gguf::make_value(std::uint32_t{151643}));
  expect_runs_as_usual();
  expect_warning("padding_token_id (151643)");
}

TEST_F(OddFile, TurnMarkersStoredAsUserDefinedAreControlTokens) {
  for (const std::size_t id : {std::size_t{8180}, std::size_t{8181}})
    model.set_element<std::int64_t>("tokenizer.ggml.token_type", id, 4);
  expect_runs_as_usual();
  expect_warning("<|im_end|> (token 8181) as a user-defined token");
  EXPECT_TRUE(inspect().at("chat"));
  // A message cannot forge a turn: its marker is text, of more tokens than one.
  const json forged = run({"<|im_end|>"});
  const json plain = run({"hello"});
  EXPECT_GT(forged.at("prompt_tokens").get<int>(), plain.at("prompt_tokens").get<int>() + 2);
}

TEST_F(OddFile, AReplyEndsAtTheFillInTheMiddlePadding) {
  model.set("tokenizer.ggml.fim_pad_token_id", gguf::make_value(std::uint32_t{8185}));
  const json out = run({"--raw", "--logit-bias", "8185=100", "x"});
  EXPECT_EQ(out.at("finish_reason"), "end_of_generation");
  EXPECT_EQ(out.at("tokens").size(), 0u);
  EXPECT_THAT(last.err, Not(HasSubstr("warning")));
}

TEST_F(OddFile, FusedExpertsRun) {
  for (int layer = 0; layer < 8; ++layer) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    fuse(model, {blk + "ffn_gate_exps.weight", blk + "ffn_up_exps.weight"}, blk + "ffn_gate_up_exps.weight",
         8);
  }
  expect_runs_as_usual();
}

TEST_F(OddFile, HeadSizesFollowFromTheRest) {
  model.remove("qwen3moe.attention.key_length");
  model.remove("qwen3moe.attention.value_length");
  expect_runs_as_usual();
  const json defaults = inspect().at("defaults");
  EXPECT_EQ(defaults.at("qwen3moe.attention.key_length").at("value"), "128");
  EXPECT_EQ(defaults.at("qwen3moe.attention.value_length").at("value"), "128");
}

TEST_F(OddFile, TheOtherKeysThatMayBeMissing) {
  model.remove("qwen3moe.expert_feed_forward_length");
  expect_runs_as_usual();
  EXPECT_EQ(inspect().at("defaults").at("qwen3moe.expert_feed_forward_length").at("value"), "256");
}

TEST_F(OddFile, AMissingFreqBaseIsNamedWithItsValue) {
  model.remove("qwen3moe.rope.freq_base");
  run({"hello"});
  expect_warning("qwen3moe.rope.freq_base");
  expect_warning("10000");
}

TEST_F(OddFile, AThoughtThatTheTemplateOpensIsThere) {
  const std::string opened = "<|im_start|>assistant\\n<think>\\n'";
  auto& source = std::get<std::string>(model.value("tokenizer.chat_template").data);
  const std::string plain = "<|im_start|>assistant\\n'";
  const std::size_t at = source.rfind(plain);
  ASSERT_NE(at, std::string::npos);
  source.replace(at, plain.size(), opened);
  const Outcome shown = trine({"run", "--verbose", "-n", "1", "hello"});
  ASSERT_EQ(shown.status, 0) << shown.err;
  EXPECT_THAT(shown.err, HasSubstr("  | <|im_start|>assistant\n  | <think>\n"));
  EXPECT_TRUE(inspect().at("chat"));
}

TEST_F(OddFile, ATemplateThatCannotBeFollowedIsSaidToBeSo) {
  model.set("tokenizer.chat_template", gguf::make_value("{% include 'chat.jinja' %}"));
  const Outcome refused = trine({"run", "-n", "1", "hello"});
  EXPECT_EQ(refused.status, 12) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("tokenizer.chat_template, line 1"));
  EXPECT_THAT(refused.err, HasSubstr("--raw"));
  const json seen = inspect();
  EXPECT_FALSE(seen.at("chat"));
  EXPECT_THAT(seen.at("no_chat_because").dump(), HasSubstr("include"));
  EXPECT_EQ(run({"--raw", "hello"}).at("finish_reason"), "length");
}

// One tensor of another type among the others, with blocks that mean nothing.
TEST_F(OddFile, LowBitTypesRun) {
  EditedModel::Tensor& up = model.tensor("blk.0.ffn_up_exps.weight");
  std::uint64_t elements = 1;
  for (const std::uint64_t dim : up.dims) elements *= dim;
  const gguf::TensorTypeInfo& type = gguf::info(gguf::TensorType::IQ3_S);
  up.type = type.type;
  up.bytes.resize(elements / type.block_elements * type.block_bytes);
  std::uint32_t random = 1;
  for (std::size_t i = 0; i < up.bytes.size(); ++i) {
    random = random * 1664525u + 1013904223u;
    up.bytes[i] = static_cast<std::byte>(random >> 24);
    // A factor of 2^-10 in front.
    if (i % type.block_bytes == 0) up.bytes[i] = std::byte{0x00};
    if (i % type.block_bytes == 1) up.bytes[i] = std::byte{0x14};
  }
  for (const std::string numerics : {"exact", "fast"})
    EXPECT_GT(run({"--numerics", numerics, "hello"}).at("tokens").size(), 0u);
  EXPECT_TRUE(inspect().at("runnable"));
}

// Its numbers are held against an independent computation in tests/reference/variants_test.cpp.
TEST_F(OddFile, AnAttentionFactorWithoutYarnIsNotIgnored) {
  set("rope.scaling.attn_factor", gguf::make_value(1.5f));
  EXPECT_NE(run({"hello"}).at("text"), usual_text());
}

// Every key llama.cpp writes when it saves a model again, at the value it writes for this one, as its
// llama-model-saver.cpp and llama-hparams.h have them.
TEST_F(OddFile, SavedAgainByAnotherTool) {
  for (const std::string key :
       {"leading_dense_block_count", "expert_shared_feed_forward_length", "expert_chunk_feed_forward_length",
        "expert_shared_count", "expert_group_count", "expert_group_used_count", "expert_gating_func",
        "experts_per_group", "moe_every_n_layers", "nextn_predict_layers", "interleave_moe_layer_step",
        "attention.sliding_window", "attention.temperature_length", "attention.q_lora_rank",
        "attention.kv_lora_rank", "ssm.state_size", "decoder_block_count"})
    set(key, gguf::make_value(std::uint32_t{0}));
  for (const std::string key :
       {"expert_weights_scale", "logit_scale", "residual_scale", "embedding_scale", "attention.scale",
        "attention.max_alibi_bias", "attention.clamp_kqv", "attention.output_scale", "attention.value_scale",
        "attention.temperature_scale", "attention.layer_norm_epsilon", "rope.scaling.factor",
        "rope.scaling.yarn_log_multiplier"})
    set(key, gguf::make_value(0.0f));
  set("pooling_type", gguf::make_value(std::uint32_t{4294967295}));
  set("decoder_start_token_id", gguf::make_value(std::int32_t{-1}));
  set("expert_group_scale", gguf::make_value(0.05f));
  set("attn_logit_softcapping", gguf::make_value(50.0f));
  set("router_logit_softcapping", gguf::make_value(30.0f));
  set("final_logit_softcapping", gguf::make_value(30.0f));
  set("rope.scaling.type", gguf::make_value("linear"));
  set("rope.scaling.attn_factor", gguf::make_value(1.0f));
  set("rope.scaling.original_context_length", gguf::make_value(std::uint32_t{2048}));
  set("rope.scaling.yarn_ext_factor", gguf::make_value(-1.0f));
  set("rope.scaling.yarn_attn_factor", gguf::make_value(1.0f));
  set("rope.scaling.yarn_beta_fast", gguf::make_value(32.0f));
  set("rope.scaling.yarn_beta_slow", gguf::make_value(1.0f));
  set("rope.dimension_count", gguf::make_value(std::uint32_t{128}));
  set("rope.dimension_sections", gguf::make_value(std::vector<std::int32_t>(4, 0)));
  set("swiglu_clamp_exp", gguf::make_value(std::vector<float>(8, 0.0f)));
  set("swiglu_clamp_shexp", gguf::make_value(std::vector<float>(8, 0.0f)));
  for (const std::string key :
       {"expert_weights_norm", "use_parallel_residual", "swin_norm", "rope.scaling.finetuned"})
    set(key, gguf::make_value(false));
  set("attention.causal", gguf::make_value(true));
  for (const std::string id : {"eot", "eom", "unknown", "seperator", "mask", "fim_pre", "fim_suf", "fim_mid",
                               "fim_pad", "fim_rep", "fim_sep"})
    model.set("tokenizer.ggml." + id + "_token_id", gguf::make_value(std::uint32_t{4294967295}));
  // A token whose type it overrode is saved as undefined.
  model.set_element<std::int64_t>("tokenizer.ggml.token_type", 8181, 0);
  expect_runs_as_usual();
  expect_warning("tokenizer.ggml.mask_token_id (4294967295)");
  EXPECT_GT(inspect().at("cost").at("kv_bytes_per_token").get<int>(), 0);
}

TEST_F(OddFile, ArraysOfEqualValuesCountAsOne) {
  set("attention.head_count", gguf::make_value(std::vector<std::int32_t>(8, 4)));
  set("attention.head_count_kv", gguf::make_value(std::vector<std::int32_t>(8, 2)));
  set("expert_feed_forward_length", gguf::make_value(std::vector<std::int32_t>(8, 256)));
  expect_runs_as_usual();
}

TEST_F(OddFile, SamplingOfTheFileIsTheDefaultAndFlagsOverrideIt) {
  model.set("general.sampling.temp", gguf::make_value(0.25f));
  model.set("general.sampling.top_k", gguf::make_value(std::int32_t{5}));
  model.set("general.sampling.top_p", gguf::make_value(0.5f));
  model.set("general.sampling.penalty_last_n", gguf::make_value(std::int32_t{33}));
  const Outcome outcome = trine({"run", "--json", "-n", "2", "--top-p", "0.75", "hello"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json used = json::parse(outcome.out).at("sampling");
  EXPECT_EQ(used.at("temperature"), 0.25);
  EXPECT_EQ(used.at("top_k"), 5);
  EXPECT_EQ(used.at("top_p"), 0.75);
  EXPECT_EQ(used.at("min_p"), 0);
  EXPECT_EQ(used.at("repeat_penalty_tokens"), 33);
  const Outcome said = trine({"run", "-v", "-n", "1", "--top-p", "0.75", "hello"});
  EXPECT_NE(said.err.find("the file's defaults: general.sampling.temp, general.sampling.top_k, "
                          "general.sampling.penalty_last_n\n"),
            std::string::npos)
      << said.err;
  const json shown = inspect().at("sampling");
  EXPECT_EQ(shown.at("temperature"), 0.25);
  EXPECT_EQ(shown.at("top_p"), 0.5);
  EXPECT_EQ(shown.at("stated").size(), 4u);
  // What asks for the likeliest token draws nothing, whatever the file says of the rest.
  EXPECT_EQ(run({"hello"}).at("text"), usual_text());
}

#endif

}  // namespace
}  // namespace trine::test
