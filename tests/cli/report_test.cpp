// inspect, bench, perplexity, devices, version: what they say is well-formed and agrees with the file.
#include "cli/subprocess.h"
#include "required.h"

#include <gtest/gtest.h>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

namespace trine::test {
namespace {

using nlohmann::json;

json json_of(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const Outcome outcome = run_trine(std::move(arguments));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  return json::parse(outcome.out);
}

TEST(Inspect, CountsTheDemoModel) {
  const json out = json_of({"inspect", demo});
  EXPECT_EQ(out["runnable"], true);
  EXPECT_EQ(out["chat"], true);
  EXPECT_EQ(out["bytes"], std::filesystem::file_size(demo));
  // By hand from the shape: 8 layers, H 512, 4 query and 2 KV heads of 128, 8 experts top-2 of width 256, V
  // 8192.
  constexpr std::uint64_t H = 512, Q = 512, K = 256, D = 128, E = 8, F = 256, V = 8192, layers = 8;
  constexpr std::uint64_t shared = 2 * H * Q + 2 * H * K + 2 * D + 2 * H + E * H;
  constexpr std::uint64_t expert = 3 * H * F;
  EXPECT_EQ(out["cost"]["parameters"], 2 * V * H + H + layers * (shared + E * expert));
  EXPECT_EQ(out["cost"]["active_parameters"], V * H + H + H + layers * (shared + 2 * expert));
  EXPECT_EQ(out["cost"]["kv_bytes_per_token"], layers * 2 * K * 2);
  EXPECT_EQ(out["cost"]["context_length"], 2048);
  std::uint64_t bytes = 0;
  for (const json& tensor : out["tensors"]) bytes += tensor["bytes"].get<std::uint64_t>();
  EXPECT_EQ(out["cost"]["weight_bytes"], bytes);
  EXPECT_EQ(out["metadata"]["tokenizer.ggml.tokens"]["length"], 8192);
  EXPECT_EQ(out["metadata"]["tokenizer.ggml.tokens"]["value"].size(), 8u);
  EXPECT_EQ(json_of({"inspect", demo, "--full"})["metadata"]["tokenizer.ggml.tokens"]["value"].size(), 8192u);
}

TEST(Inspect, TiedEmbeddingIsReadWhole) {
  const json out = json_of({"inspect", model_path("tiny/tied-Q4_K_M.gguf")});
  std::uint64_t embedding = 0;
  for (const json& tensor : out["tensors"]) {
    if (tensor["name"] == "token_embd.weight") embedding = tensor["bytes"];
  }
  ASSERT_GT(embedding, 0u);
  EXPECT_GT(out["cost"]["active_bytes"], embedding);
}

TEST(Inspect, EveryModelInTheTreeRuns) {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(model_path("tiny"))) {
    if (entry.path().extension() != ".gguf") continue;
    EXPECT_TRUE(json_of({"inspect", entry.path()})["runnable"].is_boolean()) << entry.path();
    ++seen;
  }
  EXPECT_GE(seen, 10);
}

TEST(Inspect, WhatCannotRunIsStillShown) {
  const TemporaryFile other(patched(file_bytes(demo), "qwen3moe", "llamamoe"));
  const json out = json_of({"inspect", other.path()});
  EXPECT_EQ(out["runnable"], false);
  EXPECT_EQ(out["not_runnable_because"]["exit_code"], 12);
  EXPECT_EQ(out["metadata"]["general.architecture"]["value"], "llamamoe");
  const Outcome text = run_trine({"inspect", other.path()});
  EXPECT_EQ(text.status, 0);
  EXPECT_NE(text.out.find("runs here     no"), std::string::npos);
}

TEST(Inspect, AVocabularyAloneHasNoEmptyTables) {
  const std::string vocab = TRINE_SHARED_DIR "/vocab/ggml-vocab-qwen2.gguf";
  if (::access(vocab.c_str(), R_OK) != 0) GTEST_SKIP() << vocab << " is not there";
  const Outcome outcome = run_trine({"inspect", vocab});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("\ntensors       none"), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.out.find("shape, innermost first"), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.out.find("parameters"), std::string::npos) << outcome.out;
}

TEST(Inspect, FloatsAreShownAsTheyAreWritten) {
  const Outcome outcome = run_trine({"inspect", demo});
  EXPECT_NE(outcome.out.find("float32       1e-06\n"), std::string::npos) << outcome.out;
}

TEST(Inspect, MetadataCannotDriveTheTerminal) {
  const TemporaryFile other(patched(file_bytes(demo), "Trine Demo Coder",
                                    "\033[2J\033[31mred\nX"
                                    "YZ"));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", other.path()}, {"inspect", "--full", other.path()}}) {
    const Outcome outcome = run_trine(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.out.find('\033'), std::string::npos);
    EXPECT_NE(outcome.out.find("\\x1b[31mred\\n"), std::string::npos);
  }
}

TEST(Devices, AgreesWithItself) {
  const json out = json_of({"devices"});
  ASSERT_EQ(out["backends"].size(), 3u);
  EXPECT_EQ(out["backends"][0]["name"], "cpu");
  EXPECT_EQ(out["backends"][1], (json{{"name", "cuda"}, {"built", false}}));
  EXPECT_EQ(out["backends"][2]["name"], "wgpu");
  EXPECT_GE(out["cpu"]["cores"], out["cpu"]["cores_available"]);
  const json& topology = out["cpu"]["topology"];
  EXPECT_EQ(topology["performance_cores"].get<int>() + topology["efficiency_cores"].get<int>(),
            topology["physical_cores"]);
  EXPECT_GE(topology["hardware_threads"], topology["physical_cores"]);
  EXPECT_GE(topology["hardware_threads"], out["cpu"]["cores_available"]);
  EXPECT_GE(topology["physical_cores"], topology["default_threads"]);
  EXPECT_GE(topology["nodes"], 1);
  EXPECT_GT(out["memory"]["total_bytes"], 0);
  const std::string text = run_trine({"devices"}).out;
  for (const char* name : {"cpu", "cuda", "wgpu", "memory"}) EXPECT_NE(text.find(name), std::string::npos);
#ifdef TRINE_HAS_CPU
  EXPECT_EQ(out["backends"][0]["built"], true);
  EXPECT_EQ(out["backends"][0]["isas"][0], (json{{"name", "portable"}, {"available", true}}));
#else
  EXPECT_EQ(out["backends"][0]["built"], false);
#endif
}

TEST(Version, FlagAndCommandAgree) {
  const json out = json_of({"version"});
  for (const char* name : {"version", "commit", "compiler", "build_type"}) {
    EXPECT_FALSE(out[name].get<std::string>().empty()) << name;
  }
  const std::string text = run_trine({"--version"}).out;
  EXPECT_TRUE(text.starts_with("trine " + out["version"].get<std::string>() + "\n"));
  EXPECT_EQ(text, run_trine({"version"}).out);
}

#ifdef TRINE_HAS_CPU

TEST(Bench, JsonHoldsEveryMeasurement) {
  const json out = json_of({"bench", "-m", demo, "--backend", "cpu", "--prefill", "8,33", "--decode", "2",
                            "--depth", "0,16", "-r", "3", "--warmup", "0"});
  ASSERT_EQ(out["prefill"].size(), 2u);
  ASSERT_EQ(out["decode"].size(), 2u);
  EXPECT_EQ(out["prefill"][1]["tokens"], 33);
  EXPECT_EQ(out["decode"][1]["depth"], 16);
  for (const char* kind : {"prefill", "decode"}) {
    for (const json& line : out[kind]) {
      const json& rate = line["tokens_per_second"];
      EXPECT_GT(rate["min"].get<double>(), 0);
      EXPECT_LE(rate["min"].get<double>(), rate["median"].get<double>());
      EXPECT_LE(rate["median"].get<double>(), rate["max"].get<double>());
    }
  }
  const double cache = out["last_level_cache_bytes"];
  for (const json& line : out["decode"]) {
    EXPECT_EQ(line["sequences"], 1) << line;
    EXPECT_EQ(line["sampling"], "greedy") << line;
    EXPECT_EQ(line["host"]["launches_per_step"], 0) << line;  // nothing runs beside the host
    const double read = line["bytes_per_token"];
    EXPECT_EQ(line["limit_tokens_per_second"].is_null(), read < cache) << line;
    EXPECT_EQ(line["share_of_limit"].is_null(), read < cache) << line;
    if (read < cache) continue;
    EXPECT_NEAR(line["limit_tokens_per_second"].get<double>() * read,
                out["bandwidth"]["bytes_per_second"].get<double>(), 1);
  }
  EXPECT_EQ(out["repetitions"], 3);
  EXPECT_GT(out["bandwidth"]["bytes_per_second"].get<double>(), 1e8);
  EXPECT_GE(out["bandwidth"]["buffer_bytes"], 16u << 20);
  // Decode reads the active weights and, on average over positions d+1 and d+2, that many keys and values.
  const json cost = json_of({"inspect", demo})["cost"];
  const double kv = cost["kv_bytes_per_token"];
  const double weights = cost["active_bytes"];
  EXPECT_DOUBLE_EQ(out["decode"][0]["bytes_per_token"].get<double>(), weights + 1.5 * kv);
  EXPECT_DOUBLE_EQ(out["decode"][1]["bytes_per_token"].get<double>(), weights + 17.5 * kv);
  const double share = out["model"]["page_cache_share"];
  EXPECT_TRUE(share >= 0 && share <= 1) << share;
}

TEST(Bench, TextAndMarkdownNameTheCircumstances) {
  const std::vector<std::string> small = {"bench",    "-m", demo, "--backend", "cpu",      "--prefill", "8",
                                          "--decode", "0",  "-r", "1",         "--warmup", "0"};
  const Outcome text = run_trine(small);
  ASSERT_EQ(text.status, 0) << text.err;
  for (const char* part :
       {"device: ", "thread", "fast numerics", demo.c_str(), "page cache", "GB/s", "prefill 8"}) {
    EXPECT_NE(text.out.find(part), std::string::npos) << part << "\n" << text.out;
  }
  std::vector<std::string> markdown = small;
  markdown.push_back("--markdown");
  EXPECT_TRUE(run_trine(markdown).out.starts_with("| test "));
  EXPECT_EQ(run_trine({"bench", "-m", demo, "--prefill", "2049", "--decode", "0"}).status, 2);
  EXPECT_EQ(run_trine({"bench", "-m", demo, "--prefill", "0", "--decode", "0"}).status, 2);
}

TEST(Bench, PhasesOfAStepAreHeldAgainstBothLimits) {
  std::vector<std::string> arguments = {"bench",     "-m", demo,       "--backend", "cpu",
                                        "--prefill", "8",  "--decode", "2",         "--depth",
                                        "3",         "-r", "1",        "--warmup",  "0"};
  for (const char* kind : {"prefill", "decode"})
    EXPECT_TRUE(json_of(arguments)[kind][0]["phase_time"].is_null()) << kind;
  arguments.push_back("--phases");
  const json out = json_of(arguments);
  const bool measured = out["device"]["api"] != "portable";
  EXPECT_EQ(out["arithmetic"].is_object(), measured) << out["arithmetic"];
  for (const char* kind : {"prefill", "decode"}) {
    const json& time = out[kind][0]["phase_time"];
    ASSERT_EQ(time["phases"].size(), 11u) << time;
    double sum = 0, bytes = 0;
    for (const json& phase : time["phases"]) {
      sum += phase["microseconds"].get<double>();
      bytes += phase["bytes"].get<double>();
    }
    EXPECT_GT(sum, 0);
    EXPECT_LE(sum / 1000, time["ms_per_step"].get<double>());
    const double cache = out["last_level_cache_bytes"];
    for (const json& phase : time["phases"]) {
      const double flops = phase["flops_8bit"].get<double>() + phase["flops_f32"].get<double>();
      const double seconds = phase["microseconds"].get<double>() / 1e6;
      EXPECT_EQ(phase["share_of_arithmetic"].is_number(), measured && flops > 0) << phase;
      EXPECT_EQ(phase["share_of_memory"].is_number(), bytes >= cache && phase["bytes"] > 0) << phase;
      if (phase["share_of_arithmetic"].is_number()) {
        const double least =
            phase["flops_8bit"].get<double>() / out["arithmetic"]["flops_per_second_8bit"].get<double>() +
            phase["flops_f32"].get<double>() / out["arithmetic"]["flops_per_second_f32"].get<double>();
        EXPECT_NEAR(phase["share_of_arithmetic"].get<double>() * seconds, least, 1e-6 * least) << phase;
      }
    }
  }
  // A token reads the model's active weights and its keys and values, which `inspect` counts for itself.
  const json cost = json_of({"inspect", demo})["cost"];
  double bytes = 0;
  for (const json& phase : out["decode"][0]["phase_time"]["phases"]) bytes += phase["bytes"].get<double>();
  EXPECT_EQ(bytes, cost["active_bytes"].get<double>() + 5 * cost["kv_bytes_per_token"].get<double>());

  const Outcome text = run_trine(arguments);
  ASSERT_EQ(text.status, 0) << text.err;
  for (const char* part : {"phases of prefill 8 ", "phases of a step of decode 2 at 3 ", "\nbetween phases ",
                           "\nstep ", "\narithmetic: ", "of arithmetic", "expert_gate_up"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part << "\n" << text.out;
}

TEST(Bench, WhatABackendHasNoPartsOfSaysWhichItHas) {
  const Outcome kernels = run_trine({"bench", "-m", demo, "--backend", "cpu", "--kernels"});
  EXPECT_EQ(kernels.status, 2);
  EXPECT_NE(kernels.err.find("--phases"), std::string::npos) << kernels.err;
  EXPECT_EQ(kernels.out, "");
}

#ifdef TRINE_HAS_WGPU

// Its limit is that of its own memory, which is the host's for a software adapter only, whose caches count
// too.
TEST(Bench, OfADeviceHasTheHostsShareAndItsOwnLimit) {
  const json wgpu = json_of({"devices"})["backends"][2];
  if (wgpu.contains("unavailable")) TRINE_CANNOT_RUN("wgpu", wgpu["unavailable"].get<std::string>());
  const std::vector<std::string> arguments = {"bench",     "-m",        model_path("tiny/tiny-F16.gguf"),
                                              "--backend", "wgpu",      "--device",
                                              "0",         "--prefill", "0",
                                              "--decode",  "5",         "-r",
                                              "2",         "--depth",   "0"};
  const json out = json_of(arguments);
  const json& adapter = wgpu["adapters"][0];
  const bool timed = adapter.dump().find("timestamps") != std::string::npos;
  const bool software = out["device"]["type"] == "software";
  EXPECT_EQ(out["bandwidth"].is_object(), software || timed) << out;
  ASSERT_EQ(out["decode"].size(), 1u);
  const json& line = out["decode"][0];
  EXPECT_GT(line["tokens_per_second"]["min"].get<double>(), 0);
  // Two megabytes lie in any host's cache.
  EXPECT_EQ(line["limit_tokens_per_second"].is_number(), timed && !software) << line;
  EXPECT_EQ(line["share_of_limit"].is_number(), timed && !software) << line;
  if (timed) {
    EXPECT_GT(line["device_time"]["ms_per_step"].get<double>(), 0);
    EXPECT_TRUE(line["device_time"]["kernels"].empty()) << line;
    std::vector<std::string> with_kernels = arguments;
    with_kernels.push_back("--kernels");
    const json kernels = json_of(with_kernels)["decode"][0]["device_time"]["kernels"];
    ASSERT_FALSE(kernels.empty());
    double launches = 0;
    for (const json& kernel : kernels) {
      EXPECT_GE(kernel["microseconds"].get<double>(), 0);
      launches += kernel["launches"].get<double>();
    }
    EXPECT_EQ(launches, line["host"]["launches_per_step"].get<double>());
  }
  const json& host = line["host"];
  EXPECT_GT(host["submit_ms_per_step"].get<double>(), 0);
  EXPECT_GT(host["wait_ms_per_step"].get<double>(), 0);
  // The same for each token: at least the embedding, a layer's six or so, norm, head and two that choose.
  const double dispatches = host["launches_per_step"];
  EXPECT_GT(dispatches, 9);
  EXPECT_EQ(dispatches, std::floor(dispatches));
  // What the host spends on a token is part of its time.
  const double per_token = 1000 / line["tokens_per_second"]["min"].get<double>();
  EXPECT_LE(host["submit_ms_per_step"].get<double>() + host["wait_ms_per_step"].get<double>(), per_token);

  const Outcome text = run_trine(arguments);
  ASSERT_EQ(text.status, 0) << text.err;
  for (const char* part : {"chosen where the model runs", "launches", "waiting"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part << "\n" << text.out;
}

#endif

TEST(Perplexity, FiguresAgree) {
  const TemporaryFile text(file_bytes(model_path("tokenizer.json")).substr(0, 2000));
  const json out = json_of({"perplexity", "-m", demo, "--ctx", "64", text.path()});
  const double nats = out["nats_per_token"];
  EXPECT_NEAR(out["perplexity"].get<double>() / std::exp(nats), 1, 1e-9);
  EXPECT_NEAR(out["bits_per_token"].get<double>() / (nats / std::log(2.0)), 1, 1e-9);
  EXPECT_GT(out["standard_error"].get<double>(), 0);
  EXPECT_EQ(out["windows"], out["tokens_in_text"].get<int>() / 64);
  EXPECT_EQ(out["tokens_scored"], out["windows"].get<int>() * 31);  // 64 - 32 - 1
  EXPECT_EQ(out["interrupted"], false);
}

// What the text of these tokens costs in one window, in nats; empty when the tokenizer cuts it otherwise.
std::optional<double> nats_of_window(const std::vector<int>& tokens) {
  std::vector<std::string> arguments = {"detokenize", "-m", demo};
  for (const int id : tokens) arguments.push_back(std::to_string(id));
  const TemporaryFile text(run_trine(arguments).out);
  const json out = json_of(
      {"perplexity", "-m", demo, "--numerics", "exact", "--ctx", std::to_string(tokens.size()), text.path()});
  if (out["tokens_in_text"] != tokens.size()) return std::nullopt;
  return out["nats_per_token"].get<double>() * out["tokens_scored"].get<double>();
}

// A window of n + 1 tokens scores those of a window of n (n even: both begin to score at the same place) and
// one more, whose probability follows from the golden logits after n tokens.
TEST(Perplexity, OneTokenAgainstGoldenLogits) {
  const json golden = json::parse(file_bytes(model_path("demo-coder-Q4_K_M.golden.json")));
  int checked = 0;
  for (const json& example : golden["cases"]) {
    std::vector<int> tokens = example["tokens"];
    if (example["text"].get<std::string>().find("<|") != std::string::npos)
      continue;  // special: read as plain text
    const std::vector<double> logits = example["logits_last"];
    if (tokens.size() < 4 || tokens.size() % 2 != 0) continue;
    const int next = example["greedy"][0];
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit - logits[static_cast<std::size_t>(next)]);

    const std::optional<double> without = nats_of_window(tokens);
    tokens.push_back(next);
    const std::optional<double> with = nats_of_window(tokens);
    if (!with || !without) continue;
    EXPECT_NEAR(*with - *without, std::log(sum), 1e-3) << example["text"];
    ++checked;
  }
  EXPECT_GE(checked, 1);
}

TEST(Perplexity, ShortTextIsOneWindow) {
  const TemporaryFile text("def f(x):\n    return x + 1\n");
  const json out = json_of({"perplexity", "-m", demo, text.path()});
  EXPECT_EQ(out["windows"], 1);
  EXPECT_EQ(out["window"], out["tokens_in_text"]);
  const TemporaryFile nothing("");
  EXPECT_EQ(run_trine({"perplexity", "-m", demo, nothing.path()}).status, 5);
  EXPECT_EQ(run_trine({"perplexity", "-m", demo, "/nowhere/text"}).status, 3);
}

#endif

}  // namespace
}  // namespace trine::test
