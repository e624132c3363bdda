// trine verify: where it writes, and where it must not.
#include "cli/subprocess.h"

#include <gtest/gtest.h>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace trine::test {
namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class VerifyCommand : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    model_ = path("t.gguf");
    fs::copy(TRINE_SOURCE_DIR "/models/tiny/tied-Q4_K_M.gguf", model_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }
  Outcome verify(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"verify", model_, "-q", "--quick", "--backend", "cpu", "--threads", "1"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_trine(std::move(all));
  }
  void expect_refused(const std::vector<std::string>& arguments, const std::string& says) const {
    const Outcome outcome = verify(arguments);
    EXPECT_EQ(outcome.status, 2) << outcome.err;
    EXPECT_TRUE(contains(outcome.err, says)) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }

  std::string folder_ = "/tmp/trine-verify-XXXXXX";
  std::string model_;
};

TEST_F(VerifyCommand, ReplacesNoForeignFile) {
  const std::string before = file_bytes(model_);
  expect_refused({"--receipt", model_}, "is no receipt");
  expect_refused({"--html", model_}, "is no page");
  EXPECT_EQ(file_bytes(model_), before);
  const std::string prompts = write("p.json", "[\"a text that is a prompt\"]");
  expect_refused({"--prompts", prompts, "--receipt", prompts}, "is no receipt");
  expect_refused({"--receipt", path("t.golden.json")}, "a file that this command reads");
  expect_refused({"--receipt", path("x"), "--html", folder_ + "/./x"}, "name one file");
  expect_refused({"--receipt", folder_}, "a directory");
  EXPECT_EQ(verify({"--receipt", path("absent/x")}).status, 3);
}

TEST_F(VerifyCommand, ReplacesItsOwnAndLeavesNothingElse) {
  for (int times = 0; times < 2; ++times) {
    const Outcome outcome = verify({"--receipt", path("r.json"), "--html", path("r.html")});
    EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    EXPECT_TRUE(contains(outcome.out, "gives the reference's answer on 4 prompts only. Exact: "))
        << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "(measured, not judged)")) << outcome.out;
  }
  EXPECT_EQ(nlohmann::json::parse(file_bytes(path("r.json")))["verdict"], "pass");
  EXPECT_TRUE(file_bytes(path("r.html")).starts_with("<!DOCTYPE html>"));
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder_)) ++files;
  EXPECT_EQ(files, 3u);
}

TEST_F(VerifyCommand, RandomWeightsInFastNumericsHaveNoVerdict) {
  const Outcome outcome = verify({"--numerics", "fast"});
  EXPECT_EQ(outcome.status, 5) << outcome.err;
  EXPECT_TRUE(contains(outcome.out, "No verdict: exact numerics were not asked for (leg X)")) << outcome.out;
  EXPECT_TRUE(contains(outcome.out, "logits cosine ")) << outcome.out;
}

}  // namespace
}  // namespace trine::test
