// Golden logits that are weak or of another model judge nothing, and a file that changes is not what was
// hashed.
#include "contract/gate/goldens.h"
#include "contract/gate/model_stamp.h"
#include "contract/gate/runs.h"
#include "contract/judge/prompts.h"
#include "gate_fixture.h"
#include "reference/model.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace trine::test {
namespace {

namespace fs = std::filesystem;
using contract::Verdict;
using Json = nlohmann::json;

// A folder that goes when this does.
struct Folder {
  Folder()
      : path(testing::TempDir() + "golden-holes-" +
             testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return path + "/" + name; }
  std::string path;
};

class GoldenHoles : public testing::Test {
 protected:
  GoldenHoles() { std::ifstream(models_dir + "tiny/tied-Q4_K_M.json") >> golden; }

  // The model's goldens after `spoil`, read for a model file of this name.
  Result<contract::Goldens> read(const std::function<void(Json&)>& spoil, std::string_view sha256 = {}) {
    Json copy = golden;
    spoil(copy);
    std::ofstream(folder.file("tied-Q4_K_M.json")) << copy;
    return contract::read_goldens(folder.file("tied-Q4_K_M.gguf"), loaded.weights.config, sha256);
  }

  LoadedModel loaded{tied_path};
  Json golden;
  Folder folder;
};

TEST_F(GoldenHoles, AScaleIsNoAgreement) {
  const auto goldens = contract::read_goldens(tied_path, loaded.weights.config);
  ASSERT_TRUE(goldens) << to_string(goldens.error());
  ThreadPool pool(1);
  for (const float scale : {1.0f, 1.002f, 1000.0f}) {
    const contract::LegResult leg = contract::judge_goldens(
        *goldens, loaded.weights.config, "reference",
        [&](std::span<const std::int32_t> tokens) -> Result<std::vector<float>> {
          reference::Sequence sequence;
          TRINE_TRY(auto logits,
                    reference::Model(loaded.weights).forward(sequence, tokens, true, pool, nullptr));
          for (float& x : logits) x *= scale;
          return logits;
        });
    EXPECT_EQ(leg.result.verdict, scale == 1 ? Verdict::pass : Verdict::fail) << scale;
    EXPECT_EQ(leg.result.first_divergence.has_value(), scale != 1);
  }
}

TEST_F(GoldenHoles, ADeviceThatIsLostHasFailed) {
  const auto goldens = contract::read_goldens(tied_path, loaded.weights.config);
  const contract::LegResult leg =
      contract::judge_goldens(*goldens, loaded.weights.config, "reference",
                              [](std::span<const std::int32_t>) -> Result<std::vector<float>> {
                                return fail(ErrorCode::backend_unavailable, "the device was lost");
                              });
  EXPECT_EQ(leg.result.verdict, Verdict::fail);
  EXPECT_NE(leg.result.reason.find("was lost"), std::string::npos) << leg.result.reason;
}

TEST_F(GoldenHoles, TheFileSaysWhatItIs) {
  const auto goldens = read([](Json&) {});
  ASSERT_TRUE(goldens) << to_string(goldens.error());
  EXPECT_EQ(goldens->file, "tied-Q4_K_M.json");
  EXPECT_EQ(goldens->sha256, *sha256_of_file(folder.file("tied-Q4_K_M.json"), {}));
  EXPECT_EQ(goldens->cases.size(), 8u);
}

TEST_F(GoldenHoles, IdsAreOnesOfTheVocabulary) {
  for (const char* field : {"tokens", "argmax_all"})
    for (const Json& id :
         {Json(4294967296 + 5), Json(18446744073709551615u), Json(-1), Json(509), Json(1.0)}) {
      const auto goldens = read([&](Json& j) { j["cases"][4][field][2] = id; });
      ASSERT_FALSE(goldens) << field << " " << id;
      EXPECT_EQ(goldens.error().code, ErrorCode::validation_failed);
      EXPECT_NE(goldens.error().where.find("case 4"), std::string::npos) << goldens.error().where;
    }
}

TEST_F(GoldenHoles, GoldensOfAnotherModelAreRefused) {
  const std::string sum = sha256("this model"), other = sha256("another");
  const std::pair<const char*, std::function<void(Json&)>> foreign[] = {
      {"another model file", [](Json& j) { j["model"] = "tiny-Q8_0.gguf"; }},
      {"another model file", [](Json& j) { j.erase("model"); }},
      {"another model file", [](Json& j) { j["model"] = 5; }},
      {"other bytes", [&](Json& j) { j["model_sha256"] = other; }},
      {"other bytes", [](Json& j) { j["model_sha256"] = nullptr; }},
      {"who computed them", [](Json& j) { j["reference"] = ""; }},
  };
  for (const auto& [says, spoil] : foreign) {
    const auto goldens = read(spoil, sum);
    ASSERT_FALSE(goldens) << says;
    EXPECT_EQ(goldens.error().code, ErrorCode::validation_failed);
    EXPECT_NE(to_string(goldens.error()).find(says), std::string::npos) << to_string(goldens.error());
  }
  EXPECT_TRUE(read([&](Json& j) { j["model_sha256"] = sum; }, sum));
}

// ---- Files that change ----

TEST(ModelStamp, SeesWritingReplacingAndRemoving) {
  const Folder folder;
  const std::string path = folder.file("tied.gguf"), other = folder.file("other.gguf");
  const std::vector<std::function<void()>> changes = {
      [&] {  // in place, the same bytes over themselves
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        const char first = static_cast<char>(file.get());
        file.seekp(0);
        file.put(first);
      },
      [&] { fs::resize_file(path, fs::file_size(path) - 1); },
      [&] {
        fs::copy_file(tied_path, other, fs::copy_options::overwrite_existing);
        fs::last_write_time(other, fs::last_write_time(path));
        fs::rename(other, path);
      },
      [&] { fs::remove(path); }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    fs::copy_file(tied_path, path, fs::copy_options::overwrite_existing);
    const auto file = gguf::File::open(path);
    ASSERT_TRUE(file) << to_string(file.error());
    const auto stamp = contract::ModelStamp::of(*file);
    ASSERT_TRUE(stamp);
    EXPECT_TRUE(stamp->check_unchanged());
    changes[i]();
    EXPECT_FALSE(stamp->check_unchanged()) << i;
  }
}

// ---- Prompts ----

TEST(PromptHoles, OneGoesPastTwoPagesAndEveryTile) {
  const LoadedModel demo(demo_path);
  const auto all = contract::builtin_prompts(demo.file->metadata(), demo.weights.config);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->longest(), contract::longest_prompt);
  EXPECT_GT(all->longest(), 4 * 64);
  const auto longest = std::max_element(all->prompts.begin(), all->prompts.end(),
                                        [](const auto& a, const auto& b) { return a.size() < b.size(); });
  // Chunks of unequal sizes, none at a page's end, the last larger than any other prompt.
  EXPECT_EQ(contract::prefill_ends(*longest), (std::vector<std::int64_t>{41, 125, 292}));
  EXPECT_EQ(contract::prefill_ends(all->prompts[0]), (std::vector<std::int64_t>{16}));
}

TEST(PromptHoles, TheSameTokensTwiceAreRefused) {
  const LoadedModel demo(demo_path);
  const Folder folder;
  std::ofstream(folder.file("same.json"))
      << R"([[1,2,3,4,5,6,7,8,9,10,11,12], [1,2,3,4,5,6,7,8,9,10,11,12]])";
  const auto set =
      contract::read_prompts(folder.file("same.json"), demo.file->metadata(), demo.weights.config);
  ASSERT_FALSE(set);
  EXPECT_NE(to_string(set.error()).find("stands there twice"), std::string::npos) << to_string(set.error());
}

// A vocabulary of one token has one prompt of each length, and prompts that begin alike are one when cut.
TEST(PromptHoles, BuiltInSetsHoldNothingTwice) {
  model::Config config;
  config.context_length = 4096;
  config.vocab_size = 1;
  const auto set = contract::builtin_prompts(gguf::Metadata(), config);
  ASSERT_TRUE(set) << to_string(set.error());
  EXPECT_EQ(set->prompts.size(), 3u);
  EXPECT_EQ(contract::quick_subset(*set).prompts.size(), 2u);
  const LoadedModel demo(demo_path);
  const auto all = contract::builtin_prompts(demo.file->metadata(), demo.weights.config);
  const contract::PromptSet quick = contract::quick_subset(*all);
  EXPECT_EQ(quick.prompts.size(), 4u);
  EXPECT_TRUE(quick.check(demo.weights.config));
}

}  // namespace
}  // namespace trine::test
