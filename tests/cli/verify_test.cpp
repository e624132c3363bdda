// trine verify: where it writes, and where it must not.
#include "cli/subprocess.h"
#include "gguf/file.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

namespace trine::test {
namespace {

namespace fs = std::filesystem;

class VerifyCommand : public testing::Test {
 protected:
  void SetUp() override {
    model_ = path("t.gguf");
    fs::copy(TRINE_SOURCE_DIR "/models/tiny/tied-Q4_K_M.gguf", model_);
  }

  std::string path(const std::string& name) const { return folder_.path(name); }
  std::string write(const std::string& name, const std::string& text) const {
    return folder_.write(name, text);
  }
  std::size_t files() const { return folder_.files(); }
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

  test::TemporaryFolder folder_;
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
  expect_refused({"--receipt", path("x"), "--html", path("./x")}, "name one file");
  expect_refused({"--receipt", folder_.path()}, "a directory");
  EXPECT_EQ(verify({"--receipt", path("absent/x")}).status, 3);
}

// What a link leads to is what will be written, there already or not; refused before anything runs.
TEST_F(VerifyCommand, LooksBehindLinksThatLeadNowhereYet) {
  fs::create_symlink(path("new"), path("link"));
  expect_refused({"--receipt", path("new"), "--html", path("link")}, "name one file");
  fs::create_symlink(path("absent/x"), path("lost"));
  const Outcome lost = verify({"--receipt", path("lost")});
  EXPECT_EQ(lost.status, 3);
  EXPECT_EQ(lost.out, "");
  EXPECT_TRUE(contains(lost.err, path("absent"))) << lost.err;
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
  EXPECT_EQ(files(), 3u);
}

TEST_F(VerifyCommand, NamesAreAsLongAsFilesMayHave) {
  expect_refused({"--receipt", path(std::string(256, 'r'))}, "a shorter name");
  expect_refused({"--html", path(std::string(256, 'r'))}, "a shorter name");
  const std::string longest = path(std::string(255, 'r'));
  const Outcome outcome = verify({"--receipt", longest});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(file_bytes(longest))["verdict"], "pass");
}

// The prompts come from a pipe, which is read behind the first look at the outputs.
TEST_F(VerifyCommand, AForeignFileThatAppearsDuringTheWorkIsLeft) {
  const std::string pipe = path("prompts");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread other([&] {
    int descriptor = -1;
    for (int i = 0; i < 6000 && descriptor < 0; ++i, ::usleep(10000))
      descriptor = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK);
    write("r.json", "mine");
    write("r.html", "mine too");
    const std::string prompts = "[[1,2,3,4,5,6,7,8,9,10,11,12]]";
    EXPECT_EQ(::write(descriptor, prompts.data(), prompts.size()), static_cast<ssize_t>(prompts.size()));
    ::close(descriptor);
  });
  const Outcome outcome = verify({"--prompts", pipe, "--receipt", path("r.json"), "--html", path("r.html")});
  other.join();
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_TRUE(contains(outcome.err, "the file exists and is no receipt\n  where:    " + path("r.json")))
      << outcome.err;
  EXPECT_TRUE(contains(outcome.err, "the file exists and is no page of trine verify")) << outcome.err;
  EXPECT_TRUE(contains(outcome.out, "gives the reference's answer")) << outcome.out;
  EXPECT_EQ(file_bytes(path("r.json")), "mine");
  EXPECT_EQ(file_bytes(path("r.html")), "mine too");
  EXPECT_EQ(files(), 4u);
}

TEST_F(VerifyCommand, DamagedWeightsBlameNoDevice) {
  std::string bytes = file_bytes(model_);
  {
    const auto file = gguf::File::open(model_);
    ASSERT_TRUE(file);
    const gguf::TensorInfo* router = file->find_tensor("blk.0.ffn_gate_inp.weight");
    ASSERT_NE(router, nullptr);
    const auto data = router->data;
    const std::size_t at = bytes.find(std::string(reinterpret_cast<const char*>(data.data()), data.size()));
    ASSERT_NE(at, std::string::npos);
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), data.size(), '\xff');
  }
  write("t.gguf", bytes);
  const Outcome outcome = verify({"--html", path("r.html")});
  EXPECT_EQ(outcome.status, 5) << outcome.err;
  EXPECT_TRUE(contains(outcome.out,
                       "\nNot judged: leg X (exact numerics against the reference, exact): the "
                       "reference's own result is no number, first at layer 0, router_logits: "
                       "the weights are damaged"))
      << outcome.out;
  EXPECT_FALSE(contains(outcome.out, "his device")) << outcome.out;
  EXPECT_FALSE(contains(file_bytes(path("r.html")), "his device"));
  const Outcome json = verify({"--json"});
  EXPECT_EQ(json.status, 5) << json.err;
  EXPECT_EQ(nlohmann::json::parse(json.out)["verdict"], "refused");
}

TEST_F(VerifyCommand, HelpSaysWhatADeviceIs) {
  EXPECT_TRUE(contains(verify({"--help"}).out, "for wgpu an adapter's"));
}

TEST_F(VerifyCommand, RandomWeightsInFastNumericsHaveNoVerdict) {
  const Outcome outcome = verify({"--numerics", "fast"});
  EXPECT_EQ(outcome.status, 5) << outcome.err;
  EXPECT_TRUE(contains(outcome.out, "No verdict: exact numerics were not asked for (leg X)")) << outcome.out;
  EXPECT_TRUE(contains(outcome.out, "logits cosine ")) << outcome.out;
}

}  // namespace
}  // namespace trine::test
