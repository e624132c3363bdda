// tokenize and detokenize: bytes in, the same bytes out.
#include "cli/subprocess.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace trine::test {
namespace {

using nlohmann::json;

Outcome on_demo(std::vector<std::string> arguments, std::string input = {}) {
  arguments.insert(arguments.begin() + 1, {"-m", model_path("demo-coder-Q4_K_M.gguf")});
  return run_trine(std::move(arguments), std::move(input));
}

TEST(Tokenize, EveryByteSurvives) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  bytes += std::string("a\0b", 3) + "\xff\xfe\xc3 \xe4\xbd na\xc3\xafve \xf0\x9f\x9a\x80\r\n\n";
  const Outcome ids = on_demo({"tokenize"}, bytes);
  ASSERT_EQ(ids.status, 0) << ids.err;
  EXPECT_EQ(ids.out.find_first_not_of("0123456789 \n"), std::string::npos);
  const Outcome back = on_demo({"detokenize"}, ids.out);
  ASSERT_EQ(back.status, 0) << back.err;
  EXPECT_EQ(back.out, bytes);
}

TEST(Tokenize, IdsOfTheGoldenFile) {
  const json golden = json::parse(file_bytes(model_path("demo-coder-Q4_K_M.golden.json")));
  for (const json& example : golden["cases"]) {
    const Outcome outcome = on_demo({"tokenize", "--json"}, example["text"].get<std::string>());
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(json::parse(outcome.out)["ids"], example["tokens"]);
  }
}

TEST(Tokenize, ArgumentFileAndStdinAgree) {
  const std::string text = "def f(x):\n\treturn x";
  const TemporaryFile file(text);
  const std::string expected = on_demo({"tokenize"}, text).out;
  EXPECT_EQ(on_demo({"tokenize", text}).out, expected);
  EXPECT_EQ(on_demo({"tokenize", "--file", file.path()}).out, expected);
  EXPECT_EQ(on_demo({"tokenize", "-"}, text).out, expected);
}

TEST(Tokenize, ArgumentsAreTakenLiterally) {
  // Spellings that a command-line parser could take for its own.
  for (const std::string text : {"[1,2]", "run", "--", "a,b", "\"quoted\"", "{x}", " "}) {
    const Outcome ids = on_demo({"tokenize", "--", text});
    ASSERT_EQ(ids.status, 0) << ids.err;
    EXPECT_EQ(on_demo({"detokenize"}, ids.out).out, text);
  }
}

TEST(Tokenize, SpecialTokens) {
  EXPECT_EQ(on_demo({"tokenize", "<|im_end|>"}).out, "8181\n");
  const Outcome plain = on_demo({"tokenize", "--no-special", "<|im_end|>"});
  EXPECT_NE(plain.out, "8181\n");
  EXPECT_EQ(on_demo({"detokenize"}, plain.out).out, "<|im_end|>");
  EXPECT_EQ(on_demo({"detokenize", "8181"}).out, "<|im_end|>");
  EXPECT_EQ(on_demo({"detokenize", "--skip-special", "8181"}).out, "");
}

TEST(Tokenize, PiecesAreStringsAlsoWithinACharacter) {
  const Outcome outcome = on_demo({"tokenize", "--json"}, "\xf0\x9f\x9a\x80 \xff");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json parsed = json::parse(outcome.out);  // throws on invalid UTF-8
  ASSERT_EQ(parsed["ids"].size(), parsed["pieces"].size());
  std::string joined;
  for (const json& piece : parsed["pieces"]) joined += piece.get<std::string>();
  // GPT-2's byte alphabet: F0 9F 9A 80, space and FF.
  EXPECT_EQ(joined, "ðŁļĢĠÿ");
}

// On stderr, where it is in no pipe's way.
TEST(Tokenize, TheDemoModelIsNamed) {
  for (const std::string command : {"tokenize", "detokenize"}) {
    const Outcome spoken = run_trine({command, "1"});
    EXPECT_NE(spoken.err.find("using the demo model"), std::string::npos) << spoken.err;
    const Outcome quiet = run_trine({command, "--quiet", "1"});
    EXPECT_EQ(quiet.err, "");
    EXPECT_EQ(quiet.out, spoken.out);
    EXPECT_EQ(on_demo({command, "1"}).err, "");
  }
}

TEST(Tokenize, EmptyText) {
  EXPECT_EQ(on_demo({"tokenize"}, "").out, "\n");
  EXPECT_EQ(on_demo({"tokenize", "--json"}, "").out, "{\"ids\":[],\"pieces\":[]}\n");
}

TEST(Tokenize, VocabularyOnlyFile) {
  const std::string vocab = TRINE_SHARED_DIR "/vocab/ggml-vocab-qwen2.gguf";
  if (::access(vocab.c_str(), R_OK) != 0) GTEST_SKIP() << vocab << " is not there";
  const Outcome outcome = run_trine({"tokenize", "-m", vocab, "Hello world"});
  EXPECT_EQ(outcome.out, "9707 1879\n") << outcome.err;
}

TEST(Detokenize, RefusesWhatIsNoToken) {
  for (const std::string id : {"8192", "-1", "x", "1.5", "99999999999999999999"}) {
    const Outcome outcome = on_demo({"detokenize", "--", "5", id});
    EXPECT_EQ(outcome.status, 5) << id;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find("0 to 8191"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("id number 2"), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace trine::test
