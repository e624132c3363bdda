// trine trace, as a process: what it writes, what it refuses, and what --diff says and exits with.
#include "cli/subprocess.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

namespace trine::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class TraceCommand : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  std::size_t files() const { return folder_.files(); }
  // Traces the tied model with its default prompt.
  std::string record(const std::string& name, std::vector<std::string> options = {}) const {
    options.insert(options.begin(), {"trace", tied, "-o", path(name)});
    const Outcome outcome = run_trine(options);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return path(name);
  }
  void expect_failure(const std::vector<std::string>& arguments, int status,
                      const std::string& message) const {
    const std::size_t before = files();
    const Outcome outcome = run_trine(arguments);
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
    EXPECT_EQ(files(), before);
  }

  test::TemporaryFolder folder_;
};

struct Parsed {
  Json header;
  std::string data;
};

// As a stranger would read it.
Parsed read_safetensors(const std::string& path) {
  const std::string bytes = file_bytes(path);
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  return {Json::parse(bytes.substr(8, size)), bytes.substr(8 + size)};
}

TEST_F(TraceCommand, WritesASafetensorsFile) {
  const Outcome outcome = run_trine({"trace", "-m", demo, "-o", path("x"), "--prompt", "<|im_start|>def f",
                                     "--stages", "embed,expert_ids,moe_out", "--layers", "0,3-5"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json ids = Json::parse(run_trine({"tokenize", "-m", demo, "--json", "<|im_start|>def f"}).out)["ids"];

  const Parsed file = read_safetensors(path("x"));
  Json header = file.header;
  const Json metadata = header["__metadata__"];
  header.erase("__metadata__");
  std::string tokens;
  for (const Json& id : ids) tokens += (tokens.empty() ? "" : ",") + id.dump();
  EXPECT_EQ(metadata["format"], "trine-trace-1");
  EXPECT_EQ(metadata["tokens"], tokens);
  EXPECT_EQ(metadata["numerics"], "exact");
  EXPECT_EQ(metadata["model_sha256"].get<std::string>().size(), 64u);
  for (const auto& [key, value] : metadata.items()) EXPECT_TRUE(value.is_string()) << key;

  ASSERT_EQ(header.size(), 9u);
  std::size_t end = 0, sum = 0;
  for (const std::string name :
       {"embed", "layer.0.expert_ids", "layer.0.moe_out", "layer.3.expert_ids", "layer.3.moe_out",
        "layer.4.expert_ids", "layer.4.moe_out", "layer.5.expert_ids", "layer.5.moe_out"}) {
    const Json& tensor = header[name];
    EXPECT_EQ(tensor["dtype"], "F32");
    EXPECT_EQ(tensor["shape"][0], ids.size());
    EXPECT_EQ(tensor["data_offsets"][0], end) << name;
    end = tensor["data_offsets"][1];
    sum += tensor["shape"][0].get<std::size_t>() * tensor["shape"][1].get<std::size_t>() * 4;
  }
  EXPECT_EQ(end, file.data.size());
  EXPECT_EQ(sum, file.data.size());
  EXPECT_NE(outcome.out.find("moe_out     0,3-5"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find(path("x") + ": "), std::string::npos) << outcome.out;
}

TEST_F(TraceCommand, JsonSaysWhatWasTraced) {
  const Outcome outcome = run_trine({"trace", tied, "-o", path("x"), "--json", "--tokens", "5,6"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json out = Json::parse(outcome.out);
  EXPECT_EQ(out["tokens"], (std::vector<int>{5, 6}));
  EXPECT_EQ(out["bytes"], fs::file_size(path("x")));
  EXPECT_EQ(out["stages"].size(), 15u);
  EXPECT_EQ(out["stages"][1]["stage"], "attn_norm");
  EXPECT_EQ(out["stages"][1]["layers"], (std::vector<int>{0, 1}));
  EXPECT_EQ(out["device"]["numerics"], "exact");
}

TEST_F(TraceCommand, TheDefaultPromptIsSaid) {
  const Outcome outcome = run_trine({"trace", tied, "-o", path("x"), "--stages", "embed"});
  // The vocabulary has 509 entries: 785, 9217 and 308 modulo 509.
  EXPECT_NE(outcome.err.find("785,9217,308, each modulo the vocabulary of 509"), std::string::npos)
      << outcome.err;
  EXPECT_EQ(read_safetensors(path("x")).header["__metadata__"]["tokens"], "276,55,308");
}

TEST_F(TraceCommand, ThreadsDoNotChangeTheFile) {
  EXPECT_EQ(file_bytes(record("one", {"--threads", "1"})), file_bytes(record("two", {"--threads", "2"})));
}

TEST_F(TraceCommand, ReplacesATraceAndNothingElse) {
  record("x", {"--stages", "embed"});
  const std::string first = file_bytes(path("x"));
  record("x", {"--stages", "logits"});
  EXPECT_NE(file_bytes(path("x")), first);

  fs::copy(tied, path("model.gguf"));
  const std::string model = file_bytes(path("model.gguf"));
  expect_failure({"trace", path("model.gguf"), "-o", path("model.gguf")}, 2, "is no trace");
  EXPECT_EQ(file_bytes(path("model.gguf")), model);
  expect_failure({"trace", tied, "-o", folder_.path()}, 2, "a directory");
  expect_failure({"trace", tied, "-o", "/dev/null"}, 2, "a device or pipe");
  expect_failure({"trace", tied, "-o", path("absent/x")}, 3, "cannot write into this folder");
}

TEST_F(TraceCommand, AForeignFileThatAppearsDuringTheWorkIsLeft) {
  std::string tokens = "1";
  for (int i = 1; i < 100; ++i) tokens += "," + std::to_string(i);
  std::thread other([&] {
    // The file is begun before the work, under another name.
    for (int i = 0; i < 60000 && files() == 0; ++i) ::usleep(1000);
    std::ofstream(path("x")) << "mine";
  });
  const Outcome outcome =
      run_trine({"trace", demo, "-o", path("x"), "--backend", "reference", "--tokens", tokens});
  other.join();
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("the file exists and is no trace\n  where:    " + path("x")), std::string::npos)
      << outcome.err;
  EXPECT_EQ(file_bytes(path("x")), "mine");
  EXPECT_EQ(files(), 1u);
}

TEST_F(TraceCommand, NamesAreAsLongAsFilesMayHave) {
  expect_failure({"trace", tied, "-o", path(std::string(256, 'x'))}, 2, "a shorter name");
  record(std::string(255, 'x'), {"--stages", "embed"});
  EXPECT_EQ(files(), 1u);
}

TEST_F(TraceCommand, HelpSaysWhatADeviceIs) {
  EXPECT_NE(run_trine({"trace", "--help"}).out.find("for wgpu an adapter's"), std::string::npos);
}

TEST_F(TraceCommand, AFolderThatTakesNoFilesIsAnIoError) {
  fs::permissions(folder_.path(), fs::perms::owner_read | fs::perms::owner_exec);
  // Root may write everywhere but into a file system without files of its own.
  const bool is_root = ::access(folder_.path().c_str(), W_OK) == 0;
  if (is_root && !fs::exists("/sys/kernel"))
    GTEST_SKIP() << "root may write everywhere here: /sys is not mounted";
  expect_failure({"trace", tied, "-o", is_root ? "/sys/trine.trace" : path("x")}, 7, "cannot ");
}

TEST_F(TraceCommand, RefusesWhatItCannotTrace) {
  const std::string x = path("x");
  expect_failure({"trace", tied}, 2, "no file to write the trace to");
  expect_failure({"trace", tied, "-o", x, "--stages", "moe"}, 2, "router_logits, expert_ids");
  expect_failure({"trace", tied, "-o", x, "--stages", "embed,,qkv"}, 2, "--stages");
  for (const std::string layers : {"", "1-0", "-1", "1-", "a", "0,", "0-99999999999", "0-1-2", "100001"})
    expect_failure({"trace", tied, "-o", x, "--layers", layers}, 2, "--layers");
  expect_failure({"trace", tied, "-o", x, "--layers", "0,2"}, 2, "0 to 1");
  expect_failure({"trace", tied, "-o", x, "--tokens", "1,x"}, 2, "--tokens");
  expect_failure({"trace", tied, "-o", x, "--tokens", "1,509"}, 5, "outside the vocabulary");
  expect_failure({"trace", tied, "-o", x, "--tokens", "1", "--prompt", "a"}, 2, "--prompt");
  expect_failure({"trace", demo, "-o", x, "--file", "/dev/null"}, 2, "the prompt is empty");
  expect_failure({"trace", demo, "-o", x, "--file", path("absent")}, 3, "file not found");
  expect_failure({"trace", path("absent"), "-o", x}, 3, "file not found");
  expect_failure({"trace", tied, "-o", x, "--backend", "reference", "--numerics", "fast"}, 2,
                 "exact numerics");
  expect_failure({"trace", tied, "-o", x, "--backend", "reference", "--device", "avx2"}, 2, "--device");
  expect_failure({"trace", tied, "-o", x, "--cosine", "0.9"}, 2, "belongs to --diff");
  std::string long_prompt = "0";
  for (int i = 0; i < 5000; ++i) long_prompt += ",0";
  expect_failure({"trace", demo, "-o", x, "--tokens", long_prompt}, 2, "longer than the model's context");
}

TEST_F(TraceCommand, CtrlCLeavesNoFile) {
  std::string tokens = "1";
  for (int i = 1; i < 2000; ++i) tokens += "," + std::to_string(i);
  Spawn spawn;
  spawn.arguments = {"trace", demo, "-o", path("x"), "--backend", "reference", "--tokens", tokens};
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(STDERR_FILENO);
    detail::exec_trine(spawn);
  }
  // The reference takes many seconds for these tokens; the file is begun before them.
  int status = 0;
  while (files() == 0 && ::waitpid(child, &status, WNOHANG) == 0) ::usleep(1000);
  ASSERT_EQ(files(), 1u);
  EXPECT_FALSE(fs::exists(path("x")));
  ::kill(child, SIGINT);
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_EQ(files(), 0u);
}

TEST_F(TraceCommand, ExactNumericsAreWithinToleranceOfTheReference) {
#ifndef TRINE_HAS_CPU
  GTEST_SKIP() << "this build has no CPU backend";
#endif
  for (const std::string& model : {tied, demo}) {
    const auto trace = [&](const std::string& name, const std::vector<std::string>& options) {
      std::vector<std::string> arguments = {"trace", model, "-o", path(name)};
      arguments.insert(arguments.end(), options.begin(), options.end());
      const Outcome outcome = run_trine(arguments);
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      return path(name);
    };
    const std::string ref = trace("ref", {"--backend", "reference"});
    const std::string exact = trace("exact", {"--backend", "cpu"});
    const std::string fast = trace("fast", {"--backend", "cpu", "--numerics", "fast"});
    const Outcome good = run_trine({"trace", "--diff", exact, ref});
    EXPECT_EQ(good.status, 0) << good.out << good.err;
    EXPECT_NE(good.out.find("Within tolerance: "), std::string::npos) << good.out;
    const Outcome bad = run_trine({"trace", "--diff", fast, ref});
    EXPECT_EQ(bad.status, 5) << bad.out;
    EXPECT_NE(bad.out.find("First outside: "), std::string::npos) << bad.out;
    EXPECT_EQ(run_trine({"trace", "--diff", fast, ref, "--cosine", "0.9", "--relative-l2", "9"}).status,
              bad.out.find("with other experts") == std::string::npos ? 0 : 5);
  }
}

TEST_F(TraceCommand, DiffNamesThePlantedChange) {
  const std::string b = record("b", {"--backend", "reference"});
  const Parsed file = read_safetensors(b);
  const Json& tensor = file.header["layer.1.ffn_norm"];
  const std::size_t row_bytes = tensor["shape"][1].get<std::size_t>() * 4;
  std::string bytes = file_bytes(b);
  const std::size_t at =
      bytes.size() - file.data.size() + tensor["data_offsets"][0].get<std::size_t>() + 2 * row_bytes;
  const float planted = 1e6f;
  std::memcpy(&bytes[at], &planted, sizeof planted);
  const TemporaryFile a(bytes);

  const Outcome text = run_trine({"trace", "--diff", a.path(), b});
  EXPECT_EQ(text.status, 5);
  EXPECT_NE(text.out.find("First outside: ffn_norm, layer 1, row 2 (token 308): cosine 0."),
            std::string::npos)
      << text.out;
  const Outcome json = run_trine({"trace", "--diff", a.path(), b, "--json"});
  EXPECT_EQ(json.status, 5);
  const Json out = Json::parse(json.out);
  EXPECT_EQ(out["within_tolerance"], false);
  EXPECT_EQ(out["first_outside"]["stage"], "ffn_norm");
  EXPECT_EQ(out["first_outside"]["layer"], 1);
  EXPECT_EQ(out["first_outside"]["row"], 2);
  EXPECT_EQ(out["tensors"].size(), 27u);

  const float none = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(&bytes[at], &none, sizeof none);
  const TemporaryFile no_number(bytes);
  const Outcome bad =
      run_trine({"trace", "--diff", no_number.path(), no_number.path(), "--relative-l2", "9"});
  EXPECT_EQ(bad.status, 5);
  EXPECT_NE(bad.out.find("row 2 (token 308): a value that is no finite number"), std::string::npos)
      << bad.out;
}

TEST_F(TraceCommand, DiffSaysWhatItDidNotCompare) {
  const std::string a = record("a", {"--stages", "embed,qkv", "--layers", "0"});
  const std::string b = record("b", {"--stages", "qkv,logits"});
  const Outcome outcome = run_trine({"trace", "--diff", a, b});
  EXPECT_EQ(outcome.status, 5) << outcome.out;
  EXPECT_NE(outcome.out.find("Not all of B was compared: A lacks 2 tensors"), std::string::npos)
      << outcome.out;
  EXPECT_NE(outcome.out.find("Only in A: embed\nOnly in B: layer.1.qkv, logits\n"), std::string::npos)
      << outcome.out;
  EXPECT_EQ(outcome.out.find("the same file"), std::string::npos);

  // What only A has, B says nothing of.
  const std::string less = record("less", {"--stages", "qkv", "--layers", "0"});
  EXPECT_EQ(run_trine({"trace", "--diff", a, less}).status, 0);
  EXPECT_EQ(run_trine({"trace", "--diff", less, a}).status, 5);

  const Outcome same =
      run_trine({"trace", "--diff", a, path("../" + fs::path(folder_.path()).filename().string() + "/a")});
  EXPECT_EQ(same.status, 0) << same.err;
  EXPECT_NE(same.out.find("A and B are the same file"), std::string::npos) << same.out;
  EXPECT_EQ(Json::parse(run_trine({"trace", "--diff", a, a, "--json"}).out)["same_file"], true);
}

TEST_F(TraceCommand, DiffRefusesWhatCannotBeCompared) {
  const std::string a = record("a", {"--stages", "embed"});
  expect_failure({"trace", "--diff", a, record("prompt", {"--stages", "embed", "--tokens", "1,2"})}, 5,
                 "different prompts");
  expect_failure({"trace", "--diff", a, record("stage", {"--stages", "logits"})}, 5, "no stage in common");
  const std::string other = path("other");
  EXPECT_EQ(run_trine({"trace", model_path("tiny/tiny-Q4_0.gguf"), "-o", other, "--stages", "embed"}).status,
            0);
  expect_failure({"trace", "--diff", a, other}, 5, "different models");
  expect_failure({"trace", "--diff", a, tied}, 5, "this is no trace");
  expect_failure({"trace", "--diff", a, path("absent")}, 3, "file not found");
  expect_failure({"trace", "--diff", a}, 2, "--diff A B");
  expect_failure({"trace", "--diff", a, a, a}, 2, "--diff A B");
  expect_failure({"trace", tied, "--diff", a, a}, 2, "means nothing to --diff");
  expect_failure({"trace", "--threads", "2", "--diff", a, a}, 2, "--threads means nothing to --diff");
  expect_failure({"trace", "--diff", a, a, "--cosine", "nan"}, 2, "--cosine");
}

}  // namespace
}  // namespace trine::test
