// From a path to a model that answers.
#include "engine/load.h"

#include "loaded_model.h"
#include "model/open_slot.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <fstream>
#include <iterator>

namespace trine::engine {
namespace {

const std::string tiny = test::models_dir + "tiny/tiny-Q4_K.gguf";

class LoadOnCpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!backend::find_backend("cpu")->built) GTEST_SKIP() << "this build has no CPU backend";
  }
};

// A copy of `path` with `from` replaced by `to`, of the same length, once.
class PatchedFile {
 public:
  PatchedFile(const std::string& path, const std::string& from, const std::string& to) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const std::size_t at = bytes.find(from);
    if (at == std::string::npos || from.size() != to.size()) throw std::runtime_error("cannot patch " + from);
    bytes.replace(at, from.size(), to);
    const int descriptor = ::mkstemp(name_.data());
    if (descriptor < 0) throw std::runtime_error("no temporary file");
    ::close(descriptor);
    std::ofstream(name_, std::ios::binary) << bytes;
  }
  ~PatchedFile() { ::unlink(name_.c_str()); }
  PatchedFile(const PatchedFile&) = delete;
  PatchedFile& operator=(const PatchedFile&) = delete;
  const std::string& path() const { return name_; }

 private:
  std::string name_ = testing::TempDir() + "trine-engine-test-XXXXXX";
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
  const PatchedFile other(tiny, "tokenizer.ggml.model", "tokenizer.ggml.modem");
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
  const PatchedFile misses(tiny, "blk.0.attn_q.weight", "blk.0.attn_z.weight");
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
