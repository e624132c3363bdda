// What a command exits with, for every kind of bad input. The numbers are docs/errors.md's.
#include "cli/subprocess.h"

#include <gtest/gtest.h>

namespace trine::test {
namespace {

// The command fails with `status`, prints nothing to stdout and names the problem.
void expect_failure(const std::vector<std::string>& arguments, int status, const std::string& message) {
  const Outcome outcome = run_trine(arguments);
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(outcome.err.starts_with("trine: error: ")) << outcome.err;
  EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
}

TEST(ExitCode, NoCommandTeaches) {
  const Outcome outcome = run_trine(std::vector<std::string>{});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.out.find("trine run \""), std::string::npos);
}

TEST(ExitCode, UnknownCommandSuggestsTheNearest) {
  expect_failure({"inspct"}, 2, "Did you mean 'trine inspect'?");
  expect_failure({"zzzzzzzz"}, 2, "'trine --help' lists the commands");
  expect_failure({"--model", tiny}, 2, "before a command");
}

TEST(ExitCode, UnknownOptionSuggestsTheNearest) {
  expect_failure({"run", "--temprature", "1", "hi"}, 2, "Did you mean --temperature?");
  // What was typed may be the beginning of what was meant.
  expect_failure({"run", "--temprature", "1", "hi"}, 2, "Did you mean --temperature?");
  expect_failure({"run", "--max=5", "hi"}, 2, "Did you mean --max-tokens?");
  expect_failure({"run", "--bakcend", "cpu", "hi"}, 2, "Did you mean --backend?");
  expect_failure({"rnu", "hi"}, 2, "Did you mean 'trine run'?");
  expect_failure({"contract", "valid"}, 2, "Did you mean validate?");
  expect_failure({"inspect", tiny, "extra"}, 2, "unexpected argument 'extra'");
  expect_failure({"run", "--model"}, 2, "--model");
}

TEST(ExitCode, NoSuggestionWhenNothingIsNear) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"run", "--zzzz", "hi"},
                                                    {"run", "-z", "hi"},
                                                    {"run", "--", "a", "b"},
                                                    {"x"}}) {
    const Outcome outcome = run_trine(arguments);
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.err.find("Did you mean"), std::string::npos) << outcome.err;
  }
}

TEST(ExitCode, MisuseIsToldInPlainWords) {
  expect_failure({"run", "hi", "--model"}, 2, "--model needs a value\n");
  expect_failure({"run", "--raw=5", "hi"}, 2, "--raw takes no value\n");
  expect_failure({"bench", "--json", "--markdown"}, 2, "--json and --markdown exclude each other\n");
  expect_failure({"perplexity"}, 2, "FILE is required\n");
  expect_failure({"contract", "show"}, 2, "needs more arguments\n");
  expect_failure({"contract", "list", "extra"}, 2, "unexpected argument 'extra'\n");
  expect_failure({"help", "run", "extra"}, 2, "unexpected argument 'extra'\n");
}

TEST(ExitCode, NamesOfOtherEnginesAreKnown) {
  expect_failure({"run", "-c", "512", "hi"}, 2, "-c is --ctx here");
  expect_failure({"run", "-c4096", "hi"}, 2, "-c is --ctx here");
  expect_failure({"run", "-t", "2", "hi"}, 2, "-t is --threads here");
  expect_failure({"run", "-p", "hi"}, 2, "The prompt needs no -p here");
  expect_failure({"run", "--temp", "0", "hi"}, 2, "--temp is --temperature here");
  expect_failure({"run", "-ngl", "99", "hi"}, 2, "-ngl is --backend here");
  expect_failure({"run", "--n-predict=5", "hi"}, 2, "--n-predict is --max-tokens here");
}

TEST(ExitCode, AnOptionGivenTwiceTakesTheLast) {
  const Outcome outcome = run_trine({"run", "-m", tiny, "--raw", "--ctx", "99999999", "--ctx", "64", "-n",
                                     "7", "-n", "1", "--temperature", "0", "hi"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("output  1 token; "), std::string::npos) << outcome.err;  // and no rate of 0
}

// Two files can both be meant, and one would be left out unheard.
TEST(ExitCode, AFileGivenTwiceIsRefused) {
  for (const char* command : {"run", "tokenize", "trace"}) {
    expect_failure({command, "-m", tiny, "-f", "a", "--file", "b"}, 2, "--file is given twice\n");
    expect_failure({command, "-m", tiny, "hi", "--file"}, 2, "--file needs a value\n");
  }
}

TEST(ExitCode, EmptyValuesAreRefused) {
  expect_failure({"inspect", ""}, 2, "FILE: expected a value that is not empty");
  expect_failure({"synth", "", "--preset", "mini"}, 2, "OUT: expected a value that is not empty");
  // The prompt is not taken for the value.
  expect_failure({"run", "--model=", "hi"}, 2, "--model: expected a value that is not empty");
  expect_failure({"run", "--seed=", "5"}, 2, "--seed: expected a whole number");
}

TEST(ExitCode, BoundsAreShownAsTheyAreWritten) {
  expect_failure({"run", "--repeat-penalty", "0", "hi"}, 2, "expected a number from 0.01 to 10, got '0'");
  const std::string help = run_trine({"run", "--help"}).out;
  EXPECT_NE(help.find("0.01 to 10"), std::string::npos) << help;
}

TEST(ExitCode, NumbersOutOfRange) {
  const std::vector<std::pair<std::string, std::string>> bad = {{"--temperature", "-0.1"},
                                                                {"--temperature", "nan"},
                                                                {"--temperature", "inf"},
                                                                {"--top-p", "1.01"},
                                                                {"--min-p", "-1"},
                                                                {"--top-k", "-1"},
                                                                {"--top-k", "1.5"},
                                                                {"--max-tokens", "0"},
                                                                {"--max-tokens", "010x"},
                                                                {"--threads", "0"},
                                                                {"--threads", "all"},
                                                                {"--ctx", "0"},
                                                                {"--ctx", "99999999999999999999"},
                                                                {"--seed", "-1"},
                                                                {"--repeat-penalty", "0"},
                                                                {"--presence-penalty", "3"},
                                                                {"--frequency-penalty", "-3"},
                                                                {"--logit-bias", "5"},
                                                                {"--logit-bias", "5=x"},
                                                                {"--logit-bias", "-1=0"},
                                                                {"--logit-bias", "5=101"}};
  for (const auto& [option, value] : bad) {
    SCOPED_TRACE(option + " " + value);
    expect_failure({"run", option, value, "hi"}, 2, option);
  }
  expect_failure({"bench", "--prefill", "12,x"}, 2, "--prefill");
  expect_failure({"bench", "--repetitions", "0"}, 2, "--repetitions");
  expect_failure({"perplexity", "--ctx", "3", "text"}, 2, "--ctx");
}

TEST(ExitCode, Backends) {
  expect_failure({"run", "--backend", "tpu", "hi"}, 2, "one of auto, cpu, cuda, wgpu");
  expect_failure({"run", "--backend", "cuda", "hi"}, 9, "no cuda backend");
#ifndef TRINE_HAS_WGPU
  expect_failure({"run", "--backend", "wgpu", "hi"}, 9, "no wgpu backend");
#endif
#ifdef TRINE_HAS_CPU
  expect_failure({"run", "--device", "sse9", "hi"}, 14, "portable");
  expect_failure({"run", "--backend", "cpu", "--device", "sse9", "hi"}, 14, "portable");
  expect_failure({"run", "--backend", "cpu", "--device", "wgpu", "hi"}, 14, "--backend wgpu");
#else
  expect_failure({"run", "--backend", "cpu", "hi"}, 9, "no cpu backend");
  expect_failure({"run", "hi"}, 9, "backend");
#endif
}

#ifdef TRINE_HAS_CPU
TEST(ExitCode, TheEnvironmentsInstructionSet) {
  Spawn spawn;
  spawn.environment["TRINE_CPU"] = "sse9";
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"run", "hi"}, {"bench"}, {"verify"}, {"run", "--backend", "cpu", "hi"}}) {
    spawn.arguments = command;
    const Outcome outcome = run_trine(spawn);
    EXPECT_EQ(outcome.status, 14) << outcome.err;
    EXPECT_NE(outcome.err.find("TRINE_CPU"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("one of portable"), std::string::npos) << outcome.err;
  }
  spawn.arguments = {"devices"};
  const Outcome devices = run_trine(spawn);
  EXPECT_EQ(devices.status, 0) << devices.err;
  EXPECT_NE(devices.out.find("TRINE_CPU=sse9 asks for what is not here"), std::string::npos) << devices.out;
}
#endif

#ifdef TRINE_HAS_WGPU
TEST(ExitCode, ALibraryThatIsNotThere) {
  Spawn spawn;
  spawn.arguments = {"run", "--backend", "wgpu", "hi"};
  spawn.environment["TRINE_WGPU_LIBRARY"] = "/nowhere/libwgpu_native.so";
  const Outcome outcome = run_trine(spawn);
  EXPECT_EQ(outcome.status, 14) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("/nowhere/libwgpu_native.so"), std::string::npos) << outcome.err;
}
#endif

#ifdef TRINE_HAS_WGPU
// No driver at all, however that is said.
TEST(ExitCode, AMachineWithoutAnAdapter) {
  for (const char* variable : {"VK_ICD_FILENAMES", "VK_DRIVER_FILES"}) {
    Spawn spawn;
    spawn.arguments = {"run", "--backend", "wgpu", "hi"};
    spawn.environment[variable] = "/nowhere/icd.json";
    const Outcome outcome = run_trine(spawn);
    EXPECT_EQ(outcome.status, 14) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find("no WebGPU adapter"), std::string::npos) << outcome.err;
  }
}
#endif

TEST(ExitCode, FilesThatAreNoModel) {
  for (const std::string command : {"inspect", "tokenize", "detokenize"}) {
    SCOPED_TRACE(command);
    const auto on = [&](const std::string& path) -> std::vector<std::string> {
      if (command == "inspect") return {command, path};
      return {command, "-m", path, "1"};
    };
    expect_failure(on("/nowhere/model.gguf"), 3, "file not found");
    expect_failure(on(TRINE_SOURCE_DIR), 3, "directory");
    const TemporaryFile empty("");
    expect_failure(on(empty.path()), 4, empty.path());
    const TemporaryFile text("# A readme, not a model\n");
    expect_failure(on(text.path()), 4, text.path());
    const std::string whole = file_bytes(tiny);
    const TemporaryFile truncated(whole.substr(0, whole.size() / 2));
    expect_failure(on(truncated.path()), 4, truncated.path());
  }
}

TEST(ExitCode, DemoModelNotFound) {
  Spawn spawn{{"tokenize", "hi"}, {}, {{"TRINE_MODELS", "/nowhere"}}, SIZE_MAX, SIZE_MAX};
  const Outcome outcome = run_trine(spawn);
  // It is found anyway when the binary stands below the source tree.
  if (outcome.status == 0)
    GTEST_SKIP() << "the binary is built inside the source tree, where models/ is found";
  EXPECT_EQ(outcome.status, 3);
  EXPECT_NE(outcome.err.find("/nowhere"), std::string::npos);
}

TEST(ExitCode, TextArguments) {
  expect_failure({"run", "-m", tiny, ""}, 2, "the prompt is empty\n  where:    the argument\n");
  expect_failure({"run", "-m", tiny, "--file", "/nowhere/prompt.txt"}, 3, "file not found");
  expect_failure({"tokenize", "-m", tiny, "--file", "/nowhere/prompt.txt", "hi"}, 2, "given twice");
  expect_failure({"run", "-m", tiny, "--file", "/dev/zero"}, 5, "at most 16777216 bytes");
  expect_failure({"tokenize", "-m", tiny, "--file", "/dev/zero"}, 5, "at most 67108864 bytes");
  expect_failure({"run", "--raw", "--system", "x", "hi"}, 2, "--system");
  expect_failure({"run", "--stop", "", "hi"}, 2, "--stop");
  expect_failure({"run", "--quiet", "--verbose", "hi"}, 2, "--quiet");
  expect_failure({"perplexity"}, 2, "FILE");
}

#ifdef TRINE_HAS_CPU
TEST(ExitCode, ModelsThatCannotRun) {
  const TemporaryFile other(patched(file_bytes(tiny), "qwen3moe", "llamamoe"));
  expect_failure({"run", "-m", other.path(), "hi"}, 12, "llamamoe");
  const TemporaryFile missing(patched(file_bytes(tiny), "blk.0.attn_q.weight", "blk.0.attn_z.weight"));
  expect_failure({"run", "-m", missing.path(), "hi"}, 6, "blk.0.attn_q.weight");
}

TEST(ExitCode, Contexts) {
  expect_failure({"run", "-m", demo, "--ctx", "2049", "hi"}, 2, "2048");
  std::string text;
  for (int i = 0; i < 100; ++i) text += "one two three ";
  const Outcome outcome = run_trine({"run", "-m", demo, "--raw", "--ctx", "64"}, text);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("at most 64 tokens"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("Raise --ctx"), std::string::npos) << outcome.err;
  // In flags throughout, and nowhere in fields of a request.
  EXPECT_TRUE(
      outcome.err.starts_with("trine: error: the prompt does not fit into the context\n"
                              "  expected: at most 64 tokens (--ctx)\n  actual:   "))
      << outcome.err;
  expect_failure({"run", "-m", demo, "--ctx", "2049", "hi"}, 2,
                 "--ctx is larger than the model's context\n  where:    --ctx\n");
}

TEST(ExitCode, LogitBiasBeyondTheVocabulary) {
  expect_failure({"run", "-m", demo, "--logit-bias", "8192=1", "hi"}, 2, "where:    --logit-bias");
  expect_failure({"run", "-m", demo, "--logit-bias", "8192=1", "hi"}, 2, "0 to 8191");
}

TEST(ExitCode, ASystemMessageForAModelWithoutATemplate) {
  const TemporaryFile other(patched(file_bytes(demo), "tokenizer.chat_template", "tokenizer.chat_templatf"));
  expect_failure({"run", "-m", other.path(), "--system", "x", "hi"}, 2,
                 "error: --system needs a chat template, and this model carries none\n"
                 "  hint:     Put it into the prompt itself\n");
}

TEST(ExitCode, TemplateThatCannotBeFollowed) {
  // The demo's template with a statement that Jinja does not have.
  std::string bytes = file_bytes(demo);
  const std::size_t key = bytes.find("tokenizer.chat_template");
  ASSERT_NE(key, std::string::npos);
  const std::size_t at = bytes.find(" for ", key);
  ASSERT_LT(at, key + 4000);
  bytes.replace(at, 5, " fro ");
  const TemporaryFile other(bytes);
  expect_failure({"run", "-m", other.path(), "hi"}, 12, "--raw");
  EXPECT_EQ(run_trine({"run", "-m", other.path(), "--raw", "-n", "1", "hi"}).status, 0);
}
#endif

#ifdef TRINE_HAS_CPU
TEST(ExitCode, AModelFileThatBecomesShorterEndsWithOneClearMessage) {
  const TemporaryFile copy(file_bytes(demo));
  Spawn spawn{{"run", "-m", copy.path(), "--raw", "--temperature", "0", "for i in range(10):\n    print("},
              {},
              {},
              SIZE_MAX,
              1};
  spawn.instead_of_interrupt = [&] { ASSERT_EQ(::truncate(copy.path().c_str(), 4096), 0); };
  const Outcome outcome = run_trine(spawn);
  EXPECT_EQ(outcome.status, 7);
  EXPECT_NE(outcome.err.find("trine: error: the model file became shorter"), std::string::npos)
      << outcome.err;
}
#endif

TEST(ExitCode, FullDiskIsAnError) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "/dev/full is not there";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::dup2(::open("/dev/full", O_WRONLY), STDOUT_FILENO);
    ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
    detail::exec_trine({{"version"}, {}, {}, SIZE_MAX, SIZE_MAX});
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(ExitCode, ClosedPipeEndsQuietly) {
  const Outcome outcome = run_trine(Spawn{{"inspect", "--full", demo}, {}, {}, 1, SIZE_MAX});
  EXPECT_EQ(outcome.status, 128 + SIGPIPE);
  EXPECT_EQ(outcome.err, "");
}

TEST(ExitCode, NoColourInPipes) {
  for (const std::string no_color : {"", "1"}) {
    const Outcome outcome =
        run_trine(Spawn{{"frobnicate"}, {}, {{"NO_COLOR", no_color}}, SIZE_MAX, SIZE_MAX});
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.err.find('\033'), std::string::npos);
  }
}

TEST(ExitCode, ControlCharactersAreNotPassedToTheTerminal) {
  const Outcome outcome = run_trine({"inspect", "/nowhere/\033[31mred\n.gguf"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_EQ(outcome.err.find('\033'), std::string::npos);
  EXPECT_NE(outcome.err.find("\\x1b[31mred\\n"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace trine::test
