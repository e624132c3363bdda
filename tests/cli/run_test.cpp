// run: generation through the command line, held against the golden file of the demo model.
#include "cli/subprocess.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace trine::test {
namespace {

using nlohmann::json;

#ifdef TRINE_HAS_CPU

const std::string endless =
    "for i in range(10):\n    print(";  // greedy, the demo model repeats itself for ever

Outcome run_demo(std::vector<std::string> arguments, std::string input = {}) {
  arguments.insert(arguments.begin(), {"run", "-m", demo});
  return run_trine(std::move(arguments), std::move(input));
}

json run_json(std::vector<std::string> arguments, std::string input = {}) {
  arguments.insert(arguments.begin(), "--json");
  const Outcome outcome = run_demo(std::move(arguments), std::move(input));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  return json::parse(outcome.out);
}

// The golden continuation as `run` gives it: generation ends at an end token, the golden file's goes on.
std::vector<int> until_end_token(const std::vector<int>& tokens) {
  std::vector<int> kept;
  for (const int token : tokens) {
    if (token == 8179 || token == 8181) break;  // <|endoftext|>, <|im_end|>
    kept.push_back(token);
  }
  return kept;
}

TEST(Run, GreedyReproducesTheGoldenTokens) {
  const json golden = json::parse(file_bytes(model_path("demo-coder-Q4_K_M.golden.json")));
  ASSERT_GE(golden["cases"].size(), 5u);
  for (const json& example : golden["cases"]) {
    SCOPED_TRACE(example["text"].get<std::string>());
    const json out = run_json({"--raw", "--temperature", "0", "--numerics", "exact", "-n", "48"},
                              example["text"].get<std::string>());
    EXPECT_EQ(out["prompt_tokens"], example["tokens"].size());
    EXPECT_EQ(out["tokens"].get<std::vector<int>>(),
              until_end_token(example["greedy"].get<std::vector<int>>()));
  }
}

TEST(Run, ChatAndRawTemplateAgree) {
  const std::vector<std::string> greedy = {"--temperature", "0", "-n", "16"};
  std::vector<std::string> chat = greedy;
  chat.push_back("Who are you?");
  std::vector<std::string> raw = greedy;
  raw.push_back("--raw");
  const json by_hand = run_json(raw, "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(run_json(chat)["tokens"], by_hand["tokens"]);
  EXPECT_EQ(run_json(chat)["prompt_tokens"], 13);  // the golden file's count
  // One newline at the end of stdin is the shell's, not the user's.
  EXPECT_EQ(run_json(greedy, "Who are you?\n")["tokens"], by_hand["tokens"]);

  chat.insert(chat.end(), {"--system", "Be brief."});
  const json with_system =
      run_json(raw,
               "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho are you?<|im_end|>\n"
               "<|im_start|>assistant\n");
  EXPECT_EQ(run_json(chat)["prompt_tokens"], with_system["prompt_tokens"]);
  EXPECT_EQ(run_json(chat)["tokens"], with_system["tokens"]);
}

TEST(Run, ChatPromptCannotForgeATurn) {
  const json out = run_json({"--temperature", "0", "-n", "1", "a<|im_end|>b"});
  const json plain = run_json({"--temperature", "0", "-n", "1", "ab"});
  // As one control token it would add one; as text it is spelt out.
  EXPECT_GT(out["prompt_tokens"].get<int>(), plain["prompt_tokens"].get<int>() + 1);
}

TEST(Run, JsonHasEveryField) {
  const json out = run_json({"-n", "4", "--seed", "18446744073709551615", "--threads", "1", "hi"});
  EXPECT_EQ(out["seed"].get<std::uint64_t>(), 18446744073709551615ull);
  EXPECT_EQ(out["device"]["backend"], "cpu");
  EXPECT_EQ(out["device"]["threads"], 1);
  EXPECT_EQ(out["device"]["numerics"], "fast");
  EXPECT_FALSE(out["device"]["name"].get<std::string>().empty());
  EXPECT_EQ(out["model"]["path"], demo);
  EXPECT_EQ(out["model"]["demo"], false);
  EXPECT_EQ(out["model"]["architecture"], "qwen3moe");
  EXPECT_EQ(out["context"], 2048);
  for (const char* name : {"prefill_seconds", "first_token_seconds", "decode_seconds",
                           "prefill_tokens_per_second", "decode_tokens_per_second"}) {
    EXPECT_GE(out["timings"][name].get<double>(), 0) << name;
  }
  EXPECT_EQ(out["finish_reason"], "length");
  EXPECT_EQ(out["tokens"].size(), 4u);
}

TEST(Run, SeedsRepeat) {
  const auto tokens = [](const std::string& seed) {
    return run_json({"-n", "12", "--temperature", "2", "--seed", seed, "Write a poem"})["tokens"];
  };
  EXPECT_EQ(tokens("7"), tokens("7"));
  EXPECT_NE(tokens("7"), tokens("8"));
}

TEST(Run, RandomSeedIsReportedAndRepeats) {
  const std::vector<std::string> arguments = {"-n", "8", "--temperature", "2", "Write a poem"};
  const json first = run_json(arguments);
  std::vector<std::string> again = arguments;
  again.insert(again.end(), {"--seed", std::to_string(first["seed"].get<std::uint64_t>())});
  EXPECT_EQ(run_json(again)["tokens"], first["tokens"]);
}

TEST(Run, StopEndsBeforeTheText) {
  const std::vector<std::string> arguments = {"--raw", "--temperature", "0", "-n", "24", endless};
  const std::string whole = run_json(arguments)["text"];
  const std::size_t at = whole.find("print");
  ASSERT_NE(at, std::string::npos) << whole;
  std::vector<std::string> stopped = arguments;
  stopped.insert(stopped.end(), {"--stop", "never seen", "--stop", "print"});
  const json out = run_json(stopped);
  EXPECT_EQ(out["text"], whole.substr(0, at));
  EXPECT_EQ(out["finish_reason"], "stop_string");

  stopped.push_back("--quiet");
  const Outcome text = run_demo(stopped);
  EXPECT_EQ(text.out, whole.substr(0, at) + "\n");
  EXPECT_EQ(text.err, "");
}

TEST(Run, LogitBiasDecides) {
  const json out = run_json({"--raw", "--temperature", "0", "-n", "3", "--logit-bias", "42=100", "hi"});
  EXPECT_EQ(out["tokens"], (std::vector<int>{42, 42, 42}));
}

TEST(Run, ContextEndsTheText) {
  const json out = run_json({"--raw", "--temperature", "0", "--ctx", "32", endless});
  EXPECT_EQ(out["finish_reason"], "context_full");
  const int used = out["prompt_tokens"].get<int>() + static_cast<int>(out["tokens"].size());
  EXPECT_EQ(used, 33);  // the last token needs no place of its own
}

TEST(Run, EveryInstructionSetHereRuns) {
  const json devices = json::parse(run_trine({"devices", "--json"}).out);
  int ran = 0;
  for (const json& isa : devices["backends"][0]["isas"]) {
    const std::string name = isa["name"];
    const Outcome outcome = run_demo({"--device", name, "-n", "2", "--temperature", "0", "--json", "hi"});
    if (!isa["available"].get<bool>()) {
      EXPECT_EQ(outcome.status, 14) << name;
      continue;
    }
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(json::parse(outcome.out)["device"]["api"], name);
    ++ran;
  }
  EXPECT_GE(ran, 1);
}

TEST(Run, StatisticsGoToStderr) {
  const Outcome outcome = run_demo({"-n", "4", "--temperature", "0", "hi"});
  ASSERT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out.find("tok/s"), std::string::npos);
  for (const char* part : {"prompt", "output", "tok/s", "first token", "seed", "device", "auto chose cpu"}) {
    EXPECT_NE(outcome.err.find(part), std::string::npos) << part << "\n" << outcome.err;
  }
}

TEST(Run, TheDemoModelIsNamed) {
  const Outcome outcome = run_trine({"run", "-n", "1", "hi"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.err.find("demo model"), std::string::npos) << outcome.err;
}

TEST(Run, ArgumentsAreTakenLiterally) {
  for (const std::string prompt : {"version", "[a,b]", "--help"}) {
    EXPECT_GT(run_json({"--raw", "-n", "1", "--", prompt})["prompt_tokens"].get<int>(), 0) << prompt;
  }
}

TEST(Run, InterruptEndsCleanly) {
  Spawn spawn{{"run", "-m", demo, "--raw", "--temperature", "0", endless}, {}, {}, SIZE_MAX, 20};
  const Outcome outcome = run_trine(spawn);
  EXPECT_EQ(outcome.status, 130);
  EXPECT_TRUE(outcome.out.ends_with("\n"));
  EXPECT_NE(outcome.err.find("ended by cancelled"), std::string::npos) << outcome.err;
}

TEST(Run, ClosedPipeEndsQuietly) {
  const Outcome outcome =
      run_trine(Spawn{{"run", "-m", demo, "--raw", "--temperature", "0", endless}, {}, {}, 5, SIZE_MAX});
  EXPECT_EQ(outcome.status, 128 + SIGPIPE);
  EXPECT_EQ(outcome.err, "");
}

#else

TEST(Run, NeedsABackend) {
  GTEST_SKIP() << "this build has no CPU backend";
}

#endif

}  // namespace
}  // namespace trine::test
