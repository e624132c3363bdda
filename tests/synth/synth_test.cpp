#include "base/file.h"
#include "base/thread_pool.h"
#include "gguf/file.h"
#include "model/weights.h"
#include "reference/model.h"
#include "synth/plan.h"
#include "synth/vocab.h"
#include "synth/write.h"
#include "temporary_folder.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <gtest/gtest.h>
#include <atomic>
#include <cmath>
#include <fstream>
#include <map>
#include <mutex>

namespace trine::synth {
namespace {

using gguf::TensorType;

class Synth : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  std::size_t files() const { return folder_.files(); }
  std::string write_mini(const std::string& name, std::uint64_t seed, int threads) const {
    ThreadPool pool(threads);
    const Preset& mini = *find_preset("mini");
    const auto bytes = write_model({path(name), mini, byte_vocabulary(mini.vocab_size), seed}, pool,
                                   [](std::uint64_t) { return true; });
    EXPECT_TRUE(bytes) << to_string(bytes.error());
    std::string content = *read_file(path(name));
    if (bytes) {
      EXPECT_EQ(content.size(), *bytes);
    }
    return content;
  }

 private:
  test::TemporaryFolder folder_;
};

std::map<std::string, PlannedTensor> tensors_of(std::string_view preset) {
  std::map<std::string, PlannedTensor> tensors;
  for (PlannedTensor& tensor : plan_tensors(*find_preset(preset))) tensors.emplace(tensor.name, tensor);
  return tensors;
}

// What the published Qwen3-Coder-30B-A3B-Instruct Q4_K_M file holds.
TEST(SynthPlan, CoderHasTheTypesAndSizeOfTheRealFile) {
  const auto tensors = tensors_of("qwen3-coder-30b-a3b");
  EXPECT_EQ(tensors.size(), 579u);
  const auto type = [&](const std::string& name) { return tensors.at(name).type; };
  int down_q6 = 0;
  int value_q6 = 0;
  for (int layer = 0; layer < 48; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    for (const char* role : {"attn_q", "attn_k", "attn_output", "ffn_gate_exps", "ffn_up_exps"}) {
      EXPECT_EQ(type(prefix + role + ".weight"), TensorType::Q4_K);
    }
    for (const char* role : {"attn_norm", "attn_q_norm", "attn_k_norm", "ffn_norm", "ffn_gate_inp"}) {
      EXPECT_EQ(type(prefix + role + ".weight"), TensorType::F32);
    }
    EXPECT_EQ(type(prefix + "ffn_down_exps.weight"), type(prefix + "attn_v.weight"));
    down_q6 += type(prefix + "ffn_down_exps.weight") == TensorType::Q6_K ? 1 : 0;
    value_q6 += type(prefix + "attn_v.weight") == TensorType::Q6_K ? 1 : 0;
  }
  EXPECT_EQ(down_q6, 24);  // half and half, by layer
  EXPECT_EQ(value_q6, 24);
  EXPECT_EQ(type("blk.5.ffn_down_exps.weight"), TensorType::Q6_K);
  EXPECT_EQ(type("blk.6.ffn_down_exps.weight"), TensorType::Q4_K);
  EXPECT_EQ(type("blk.8.ffn_down_exps.weight"), TensorType::Q6_K);
  EXPECT_EQ(type("blk.41.ffn_down_exps.weight"), TensorType::Q6_K);
  EXPECT_EQ(type("blk.42.ffn_down_exps.weight"), TensorType::Q6_K);
  EXPECT_EQ(type("token_embd.weight"), TensorType::Q4_K);
  EXPECT_EQ(type("output.weight"), TensorType::Q6_K);
  EXPECT_EQ(tensors.at("blk.0.ffn_down_exps.weight").dims, (std::vector<std::uint64_t>{768, 2048, 128}));
  EXPECT_EQ(tensors.at("blk.0.attn_output.weight").dims, (std::vector<std::uint64_t>{4096, 2048}));

  const auto gib = static_cast<double>(tensor_bytes(*find_preset("qwen3-coder-30b-a3b"))) / 0x1p30;
  EXPECT_NEAR(gib, 17.28, 0.01);
}

// The published Qwen3-235B-A22B Q4_K_M is 142 GB; the model card says 235 B parameters.
TEST(SynthPlan, TheLargePresetHasTheSizeOfTheRealFile) {
  EXPECT_NEAR(static_cast<double>(tensor_bytes(*find_preset("qwen3-235b-a22b"))) / 1e9, 142, 0.5);
  double parameters = 0;
  for (const auto& [name, tensor] : tensors_of("qwen3-235b-a22b")) {
    double elements = 1;
    for (const std::uint64_t dim : tensor.dims) elements *= static_cast<double>(dim);
    parameters += elements;
  }
  EXPECT_NEAR(parameters / 1e9, 235, 0.5);
}

TEST_F(Synth, TheSameBytesWhateverTheThreads) {
  const std::string one = write_mini("one.gguf", 7, 1);
  EXPECT_TRUE(one == write_mini("four.gguf", 7, 4));
  EXPECT_FALSE(one == write_mini("other.gguf", 8, 2));
}

TEST_F(Synth, MiniLoadsAndStaysFinite) {
  (void)write_mini("mini.gguf", 1, 2);
  const auto file = gguf::File::open(path("mini.gguf"));
  ASSERT_TRUE(file) << to_string(file.error());
  const auto weights = model::load_weights(*file);
  ASSERT_TRUE(weights) << to_string(weights.error());
  EXPECT_NE(weights->config.name.find("random weights"), std::string::npos);

  // Residual streams near 1, several experts in use, a router that neither ties nor picks one expert alone.
  class Watch final : public model::TraceSink {
   public:
    bool wants(model::Stage stage, int) override {
      return stage == model::Stage::layer_out || stage == model::Stage::expert_weights;
    }
    void take(model::Stage stage, int, std::int64_t, std::int64_t rows, std::int64_t width,
              std::span<const float> values) override {
      for (std::int64_t row = 0; row < rows; ++row) {
        const auto part =
            values.subspan(static_cast<std::size_t>(row * width), static_cast<std::size_t>(width));
        if (stage == model::Stage::expert_weights) {
          share_of_first += part[0];
          ++choices;
          continue;
        }
        double squares = 0;
        for (const float v : part) squares += double{v} * v;
        largest = std::max(largest, std::sqrt(squares / static_cast<double>(width)));
        smallest = std::min(smallest, std::sqrt(squares / static_cast<double>(width)));
      }
    }
    double largest = 0;
    double smallest = 1e9;
    double share_of_first = 0;
    int choices = 0;
  } watch;
  const reference::Model model(*weights);
  ThreadPool pool(2);
  reference::Sequence sequence;
  std::vector<std::int32_t> tokens(24);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i * 21 % 512);
  const auto logits = model.forward(sequence, tokens, true, pool, &watch);
  ASSERT_TRUE(logits) << to_string(logits.error());
  for (const float logit : *logits) ASSERT_TRUE(std::isfinite(logit));
  EXPECT_GT(watch.smallest, 0.5);
  EXPECT_LT(watch.largest, 5.0);
  ASSERT_EQ(watch.choices, 4 * 24);
  const double mean_share = watch.share_of_first / watch.choices;  // of four experts
  EXPECT_GT(mean_share, 0.3);
  EXPECT_LT(mean_share, 0.9);
}

TEST_F(Synth, TheByteVocabularyTakesChats) {
  (void)write_mini("mini.gguf", 1, 2);
  const auto file = gguf::File::open(path("mini.gguf"));
  ASSERT_TRUE(file);
  const auto tokenizer = text::Tokenizer::from_gguf(file->metadata());
  ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
  EXPECT_EQ(tokenizer->vocab_size(), 512);
  const std::string text = "naïve\n\x01\xFF";
  const auto ids = tokenizer->encode(text, false);
  EXPECT_EQ(ids.size(), text.size());
  EXPECT_EQ(tokenizer->decode(ids, false), text);
  EXPECT_TRUE(tokenizer->is_end_of_generation(tokenizer->find("<|im_end|>")));
  EXPECT_TRUE(tokenizer->is_special(tokenizer->find("<|im_start|>")));
  EXPECT_TRUE(text::ChatTemplate::from_gguf(file->metadata()));
}

TEST_F(Synth, ACancelledOrFailedWriteLeavesNothing) {
  ThreadPool pool(2);
  const Preset& mini = *find_preset("mini");
  std::atomic<int> pieces{0};
  const auto cancelled = write_model({path("a.gguf"), mini, byte_vocabulary(mini.vocab_size), 1}, pool,
                                     [&](std::uint64_t) { return ++pieces < 5; });
  ASSERT_TRUE(cancelled) << to_string(cancelled.error());
  EXPECT_EQ(*cancelled, 0u);
  EXPECT_EQ(files(), 0u);

  const auto nowhere = write_model({path("missing/a.gguf"), mini, byte_vocabulary(mini.vocab_size), 1}, pool,
                                   [](std::uint64_t) { return true; });
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::file_not_found);
}

// A name that another program takes while this one writes stays its.
TEST_F(Synth, NeverReplacesAFileUnasked) {
  ThreadPool pool(2);
  const Preset& mini = *find_preset("mini");
  std::once_flag once;
  const auto take_the_name = [&](std::uint64_t) {
    std::call_once(once, [&] { std::ofstream(path("a.gguf")) << "theirs"; });
    return true;
  };
  WriteOptions options{path("a.gguf"), mini, byte_vocabulary(mini.vocab_size), 1};
  const auto lost = write_model(options, pool, take_the_name);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::usage);
  EXPECT_EQ(*read_file(path("a.gguf")), "theirs");
  EXPECT_EQ(files(), 1u);

  options.replace = true;
  const auto won = write_model(options, pool, take_the_name);
  ASSERT_TRUE(won) << to_string(won.error());
  EXPECT_EQ(read_file(path("a.gguf"))->size(), *won);
  EXPECT_EQ(files(), 1u);
}

TEST_F(Synth, AsksForDiskSpaceFirst) {
  EXPECT_TRUE(require_space(path("a.gguf"), 1));
  const auto huge = require_space(path("a.gguf"), 1ull << 62);
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code, ErrorCode::io);
  EXPECT_FALSE(huge.error().expected.empty());
  EXPECT_FALSE(huge.error().actual.empty());
  const auto nowhere = require_space(path("missing/a.gguf"), 1);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::file_not_found);
}

gguf::Metadata demo_metadata() {
  return gguf::File::open(std::string(TRINE_SOURCE_DIR) + "/models/demo-coder-Q4_K_M.gguf")
      .value()
      .metadata();
}

TEST(SynthVocab, CopiesAndPads) {
  const gguf::Metadata demo = demo_metadata();
  const auto original = text::Tokenizer::from_gguf(demo).value();
  const auto copied = copied_vocabulary(demo, "demo.gguf", 10000);
  ASSERT_TRUE(copied) << to_string(copied.error());
  gguf::Metadata metadata;
  for (const auto& [key, value] : *copied) {
    EXPECT_TRUE(key.starts_with("tokenizer.")) << key;
    metadata.add(key, value);
  }
  for (const auto& [key, value] : demo.entries()) {
    EXPECT_EQ(metadata.find(key) != nullptr, key.starts_with("tokenizer.")) << key;
  }
  const auto padded = text::Tokenizer::from_gguf(metadata).value();
  EXPECT_EQ(padded.vocab_size(), 10000);
  EXPECT_EQ(padded.raw_piece(9999), "[PAD9999]");
  const std::string text = "<|im_start|>user\ndef main():<|im_end|>";
  EXPECT_EQ(padded.encode(text, true), original.encode(text, true));
}

TEST(SynthVocab, RefusesOneThatIsTooLargeOrNone) {
  const auto longer = copied_vocabulary(demo_metadata(), "demo.gguf", 512);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code, ErrorCode::validation_failed);
  EXPECT_EQ(longer.error().where, "demo.gguf");
  EXPECT_EQ(longer.error().expected, "at most 512 tokens");

  const auto none = copied_vocabulary(gguf::Metadata(), "empty.gguf", 512);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::model_load);
  EXPECT_NE(none.error().where.find("empty.gguf"), std::string::npos);
}

}  // namespace
}  // namespace trine::synth
