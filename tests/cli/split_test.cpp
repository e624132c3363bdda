// Split models on the command line: what runs, what needs the first part only, and what is shown of a torso.
#include "cli/subprocess.h"
#include "gguf/file.h"
#include "gguf/writer.h"
#include "temporary_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace trine::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint32_t n_parts = 3;

// A model of the repository, cut into three parts in a folder of its own.
class SplitModelTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto whole = gguf::File::open(whole_);
    ASSERT_TRUE(whole) << to_string(whole.error());
    for (std::uint32_t part = 0; part < n_parts; ++part) write_part(*whole, part);
  }

  std::string path(std::uint32_t part) const {
    return fmt::format("{}/model-{:05}-of-{:05}.gguf", folder_.path(), part + 1, n_parts);
  }
  void write_part(const gguf::File& whole, std::uint32_t part) const {
    gguf::Writer writer(path(part));
    if (part == 0) {
      for (const auto& [key, value] : whole.metadata().entries())
        ASSERT_TRUE(writer.add_metadata(key, value));
    }
    const auto n_tensors = static_cast<std::uint32_t>(whole.tensors().size());
    ASSERT_TRUE(writer.add_metadata("split.no", gguf::make_value(part)));
    ASSERT_TRUE(writer.add_metadata("split.count", gguf::make_value(n_parts)));
    ASSERT_TRUE(writer.add_metadata("split.tensors.count", gguf::make_value(n_tensors)));
    const std::size_t begin = whole.tensors().size() * part / n_parts;
    const std::size_t end = whole.tensors().size() * (part + 1) / n_parts;
    const auto tensors = whole.tensors().subspan(begin, end - begin);
    for (const gguf::TensorInfo& tensor : tensors)
      ASSERT_TRUE(writer.add_tensor(tensor.name, tensor.dims, tensor.type));
    ASSERT_TRUE(writer.begin());
    for (std::size_t i = 0; i < tensors.size(); ++i) ASSERT_TRUE(writer.write(i, 0, tensors[i].data));
    ASSERT_TRUE(writer.finish());
  }

  const std::string whole_ = model_path("tiny/tied-Q4_K_M.gguf");
  TemporaryFolder folder_;
};

TEST_F(SplitModelTest, InspectOfAllPartsIsThatOfTheWhole) {
  const json whole = json::parse(run_trine({"inspect", whole_, "--json"}).out);
  for (std::uint32_t part = 0; part < n_parts; ++part) {
    const Outcome outcome = run_trine({"inspect", path(part), "--json"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const json out = json::parse(outcome.out);
    EXPECT_EQ(out["files"], (json{path(0), path(1), path(2)}));
    EXPECT_EQ(out["parts"], 3);
    EXPECT_EQ(out["runnable"], true);
    EXPECT_EQ(out["cost"], whole["cost"]);
    EXPECT_EQ(out["types"], whole["types"]);
  }
}

TEST_F(SplitModelTest, InspectShowsWhatIsThere) {
  fs::remove(path(1));
  const Outcome outcome = run_trine({"inspect", path(2)});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("\nparts         2 of 3;"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("\narchitecture  qwen3moe\n"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("\nruns here     no: part 2 of 3 of a split model is missing ("),
            std::string::npos)
      << outcome.out;
  const json out = json::parse(run_trine({"inspect", path(0), "--json"}).out);
  EXPECT_EQ(out["files"], (json{path(0), path(2)}));
  EXPECT_EQ(out["runnable"], false);
  EXPECT_EQ(out["not_runnable_because"]["exit_code"], 3);
  EXPECT_EQ(out["not_runnable_because"]["where"], path(1));

  fs::remove(path(0));
  const Outcome last = run_trine({"inspect", path(2)});
  EXPECT_EQ(last.status, 0) << last.err;
  EXPECT_NE(last.out.find("parts 1 and 2 of 3 of a split model are missing"), std::string::npos) << last.out;
  EXPECT_NE(last.out.find("Part 1 holds the metadata"), std::string::npos) << last.out;
}

TEST_F(SplitModelTest, TokensNeedTheFirstPartOnly) {
  const std::string expected = run_trine({"tokenize", "-m", whole_, "def main():"}).out;
  ASSERT_FALSE(expected.empty());
  fs::remove(path(1));
  for (const std::uint32_t part : {0u, 2u}) {
    const Outcome ids = run_trine({"tokenize", "-m", path(part), "def main():"});
    EXPECT_EQ(ids.status, 0) << ids.err;
    EXPECT_EQ(ids.out, expected);
    EXPECT_EQ(run_trine({"detokenize", "-m", path(part)}, ids.out).out, "def main():");
  }
  fs::remove(path(0));
  const Outcome none = run_trine({"tokenize", "-m", path(2), "x"});
  EXPECT_EQ(none.status, 3);
  EXPECT_NE(none.err.find("part 1 of 3 of a split model is missing"), std::string::npos) << none.err;
}

TEST_F(SplitModelTest, AMissingPartIsNotRunAround) {
  fs::remove(path(1));
  for (const char* command : {"run", "bench", "trace", "verify"}) {
    std::vector<std::string> arguments{command, "-m", path(0)};
    if (std::string(command) == "run") arguments.emplace_back("x");
    if (std::string(command) == "trace") arguments.insert(arguments.end(), {"-o", folder_.path("x.trace")});
    const Outcome outcome = run_trine(arguments);
    EXPECT_EQ(outcome.status, 3) << command << outcome.err;
    EXPECT_NE(outcome.err.find("model-00002-of-00003.gguf"), std::string::npos) << outcome.err;
  }
}

#ifdef TRINE_HAS_CPU

TEST_F(SplitModelTest, ALinkToAPartRuns) {
  const std::string link = folder_.path("current.gguf");
  fs::create_symlink("model-00002-of-00003.gguf", link);
  const auto text_of = [](const std::string& model) {
    return run_trine(
        {"run", "--backend", "cpu", "-m", model, "--raw", "--temperature", "0", "-n", "8", "-q", "def f"});
  };
  const Outcome outcome = text_of(link);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, text_of(whole_).out);
}

#endif

}  // namespace
}  // namespace trine::test
