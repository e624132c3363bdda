// From a path to a model that answers.
#include "engine/load.h"

#include "loaded_model.h"
#include "model/open_slot.h"
#include "temporary_file.h"

#include <gtest/gtest.h>

namespace trine::engine {
namespace {

using test::file_bytes;
using test::patched;
using test::TemporaryFile;

const std::string tiny = test::models_dir + "tiny/tiny-Q4_K.gguf";

class LoadOnCpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!backend::find_backend("cpu")->built) GTEST_SKIP() << "this build has no CPU backend";
  }
};

TEST(ChooseContext, IsWhatWasAskedOrTheSmallerOfTwo) {
  model::Config config;
  config.context_length = 2048;
  EXPECT_EQ(*choose_context(config, std::nullopt, 4096), 2048);
  EXPECT_EQ(*choose_context(config, std::nullopt, 512), 512);
  EXPECT_EQ(*choose_context(config, 64, 512), 64);
  EXPECT_EQ(*choose_context(config, 1024, 512), 1024);
  EXPECT_EQ(*choose_context(config, 2048, 512), 2048);
}

TEST(ChooseContext, IsAtMostTheModels) {
  model::Config config;
  config.context_length = 2048;
  const auto refused = choose_context(config, 2049, 512);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::usage);
  EXPECT_EQ(refused.error().where, "context");
  EXPECT_NE(refused.error().expected.find("2048"), std::string::npos) << refused.error().expected;
  EXPECT_EQ(refused.error().actual, "2049");
}

TEST_F(LoadOnCpu, ASlipIsFoundBeforeAModelIsRead) {
  const auto code_of = [](const std::string& name, const model::LoadOptions& options) {
    const auto choice = choose_backend(name, options);
    return choice ? static_cast<ErrorCode>(0) : choice.error().code;
  };
  EXPECT_TRUE(choose_backend("cpu", {}));
  EXPECT_TRUE(choose_backend("cpu", {.device = "portable"}));
  EXPECT_EQ(code_of("tpu", {}), ErrorCode::usage);
  EXPECT_EQ(code_of("cpu", {.device = "sse9"}), ErrorCode::backend_unavailable);
  EXPECT_EQ(code_of("auto", {.device = "sse9"}), ErrorCode::backend_unavailable);
  EXPECT_EQ(code_of("cpu", {.without = {"subgroups"}}), ErrorCode::usage);
}

TEST(OpenModel, ReadsATokenizerWhereItIsAskedFor) {
  const auto without = open_model(tiny, {}, Read::weights);
  ASSERT_TRUE(without) << to_string(without.error());
  EXPECT_EQ(without->tokenizer, nullptr);
  EXPECT_EQ(without->device, nullptr);
  EXPECT_EQ(without->weights->layers.size(), static_cast<std::size_t>(without->config().n_layers));
  const auto with = open_model(tiny, {}, Read::weights_and_tokenizer);
  ASSERT_TRUE(with) << to_string(with.error());
  ASSERT_NE(with->tokenizer, nullptr);
  EXPECT_EQ(with->tokenizer->vocab_size(), with->config().vocab_size);
}

TEST(OpenModel, AnUnknownTokenizerStopsOnlyThoseWhoWantIt) {
  const TemporaryFile other(patched(file_bytes(tiny), "tokenizer.ggml.model", "tokenizer.ggml.modem"));
  EXPECT_TRUE(open_model(other.path(), {}, Read::weights));
  const auto refused = open_model(other.path(), {}, Read::weights_and_tokenizer);
  ASSERT_FALSE(refused);
  EXPECT_NE(to_string(refused.error()).find("tokenizer.ggml.model"), std::string::npos)
      << to_string(refused.error());
}

TEST(OpenModel, WhatIsNoModelIsRefused) {
  const auto absent = open_model("/nowhere/model.gguf", {}, Read::weights);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::file_not_found);
  const TemporaryFile misses(patched(file_bytes(tiny), "blk.0.attn_q.weight", "blk.0.attn_z.weight"));
  const auto incomplete = open_model(misses.path(), {}, Read::weights);
  ASSERT_FALSE(incomplete);
  EXPECT_EQ(incomplete.error().code, ErrorCode::model_load);
}

TEST_F(LoadOnCpu, AnOpenModelStartsAsItsOptionsSay) {
  const model::LoadOptions options{
      .threads = 1, .context = 100, .slots = 3, .numerics = model::Numerics::exact, .device = "portable"};
  auto choice = choose_backend("cpu", options);
  ASSERT_TRUE(choice) << to_string(choice.error());
  auto model = open_model(tiny, *std::move(choice), Read::weights);
  ASSERT_TRUE(model) << to_string(model.error());
  const Result<void> started = start_model(*model, options);
  ASSERT_TRUE(started) << to_string(started.error());
  EXPECT_EQ(model->choice.reason, "as asked");
  const model::DeviceInfo info = model->device->describe();
  EXPECT_EQ(info.backend, "cpu");
  EXPECT_EQ(info.api, "portable");
  EXPECT_EQ(info.threads, 1);
  EXPECT_EQ(info.numerics, model::Numerics::exact);
  const model::StepLimits& limits = model->device->limits();
  EXPECT_EQ(limits.slots, 3);
  EXPECT_GE(limits.kv_pages * limits.kv_page_size, 100);
  EXPECT_LT((limits.kv_pages - 1) * limits.kv_page_size, 100);

  const auto slot = model::OpenSlot::open_whole(*model->device);
  ASSERT_TRUE(slot) << to_string(slot.error());
  const auto output = model->device->run({{{0, 0, slot->id(), model::Wants::logits}}});
  ASSERT_TRUE(output) << to_string(output.error());
  EXPECT_EQ(output->logits.size(), static_cast<std::size_t>(model->config().vocab_size));
}

}  // namespace
}  // namespace trine::engine
