// The gate on what is right, and its parts: prompts, similarities, goldens.
#include "contract/checks/checks.h"
#include "contract/gate/goldens.h"
#include "contract/gate/reference_device.h"
#include "contract/judge/prompts.h"
#include "contract/judge/stage_compare.h"
#include "gate_fixture.h"
#include "reference/model.h"
#include "temporary_file.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace trine::test {
namespace {

using contract::PromptSet;
using contract::Verdict;
using model::Numerics;
using model::Stage;

constexpr float infinity = std::numeric_limits<float>::infinity();

// ---- The whole ----

TEST(GateOnDemo, ExactNumericsGiveTheReferencesAnswer) {
  GateBench bench(demo_path);
  bench.options.numerics = {Numerics::exact};
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  for (const char leg : {'X', 'D', 'T'})
    EXPECT_EQ(leg_of(result, leg, Numerics::exact).verdict, Verdict::pass) << leg;
  EXPECT_NE(contract::summarise(result).find("gives the reference's answer"), std::string::npos);

  // Every stage of every layer and row was compared.
  const contract::LegResult* leg = result.find('X', Numerics::exact);
  ASSERT_NE(leg, nullptr);
  ASSERT_EQ(leg->cells.size(), 2u + 8u * 12u);
  for (const contract::StageCell& cell : leg->cells) {
    EXPECT_EQ(static_cast<std::int64_t>(cell.rows + cell.excused), result.prompts.tokens);
    EXPECT_EQ(cell.excused, 0u);
  }
  EXPECT_EQ(static_cast<std::int64_t>(leg->choices), result.prompts.tokens * 8 * 2);
  EXPECT_GE(leg->prompts.size(), contract::full_prompt_count);
  for (const contract::PromptFigures& prompt : leg->prompts) EXPECT_EQ(prompt.positions, 9u);

  // And the result says what ran.
  ASSERT_EQ(result.devices.size(), 1u);
  EXPECT_EQ(result.devices[0].backend, "cpu");
  EXPECT_EQ(result.devices[0].numerics, Numerics::exact);
  EXPECT_TRUE(is_sha256(result.reference_sha256));
  EXPECT_TRUE(is_sha256(result.prompts.sha256));
}

TEST(GateFast, LogitsSwapsAndTopOneHoldOnTheDemo) {
  GateBench bench(demo_path);
  bench.options.numerics = {Numerics::fast};
  const contract::GateResult result = bench.run();
  const contract::CheckResult& leg = leg_of(result, 'F', Numerics::fast);
  const auto figure = [&](const std::string& name) {
    for (const contract::Figure& one : leg.figures)
      if (one.name == name) return one;
    ADD_FAILURE() << name;
    return contract::Figure{};
  };
  EXPECT_TRUE(figure("logits cosine").min >= 0.999);
  EXPECT_EQ(figure("swaps that no near-tie excuses").max, 0);
  EXPECT_TRUE(figure("share of rows with a swap").max <= 0.1);
  EXPECT_TRUE(figure("share of positions that miss the cosine and are excused").max <= 0.1);
  EXPECT_TRUE(figure("share of positions that miss any bound and are excused").max <= 0.2);
  EXPECT_TRUE(figure("logits KL").max <= 1e-2);
  EXPECT_EQ(figure("top-1 that differ").max, 0);
  EXPECT_GT(figure("top-1 that differ").n, 100u);
  EXPECT_EQ(leg_of(result, 'D', Numerics::fast).verdict, Verdict::pass);
  EXPECT_EQ(leg_of(result, 'T', Numerics::fast).verdict, Verdict::pass);
}

TEST(GateFast, RandomWeightsAreMeasuredAndNotJudged) {
  GateBench bench(tied_path);
  const contract::GateResult result = bench.run();
  EXPECT_TRUE(result.model.random_weights);
  EXPECT_EQ(leg_of(result, 'F', Numerics::fast).verdict, Verdict::not_run);
  EXPECT_NE(leg_of(result, 'F', Numerics::fast).reason.find("random"), std::string::npos);
  EXPECT_FALSE(leg_of(result, 'F', Numerics::fast).figures.empty());
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;  // by leg X
}

// Prompts judged in groups of one give the figures of all at once.
TEST(GateGroups, BoundedMemoryChangesNoFigure) {
  GateBench bench(tied_path);
  bench.use_prompts(contract::quick_subset(bench.prompts));
  bench.options.numerics = {Numerics::exact};
  const contract::GateResult whole = bench.run();
  bench.options.trace_bytes = 1;
  const contract::GateResult grouped = bench.run();
  EXPECT_EQ(whole.reference_sha256, grouped.reference_sha256);
  const contract::LegResult *a = whole.find('X', Numerics::exact), *b = grouped.find('X', Numerics::exact);
  ASSERT_EQ(a->cells.size(), b->cells.size());
  for (std::size_t i = 0; i < a->cells.size(); ++i)
    EXPECT_EQ(a->cells[i].worst_relative_l2, b->cells[i].worst_relative_l2);
}

TEST(GateLayers, BothSidesAreCut) {
  GateBench bench(demo_path, 2);
  bench.use_prompts(contract::quick_subset(bench.prompts));
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.model.layers_run, 2);
  EXPECT_EQ(result.find('X', Numerics::exact)->cells.size(), 2u + 2u * 12u);
  EXPECT_EQ(leg_of(result, 'X', Numerics::exact).verdict, Verdict::pass);
}

TEST(GateProgress, EndsAtItsTotal) {
  GateBench bench(tied_path);
  bench.use_prompts(contract::quick_subset(bench.prompts));
  std::uint64_t last = 0, all = 0;
  bench.options.progress = [&](std::uint64_t done, std::uint64_t total, const std::string& what) {
    EXPECT_GE(done, last);
    EXPECT_FALSE(what.empty());
    last = done;
    all = total;
  };
  bench.run();
  EXPECT_GT(all, 0u);
  EXPECT_EQ(last, all);
}

// ---- The checks ----

// The reason says what was found, in the words of the format.
TEST(GateChecks, SayWhatIsNotFinite) {
  const LoadedModel model(tied_path);
  const model::Weight& embed = model.weights.embed;
  const auto* begin = reinterpret_cast<const char*>(embed.data);
  std::string bytes = file_bytes(tied_path);
  const std::size_t at = bytes.find(std::string(begin, embed.row_bytes));
  ASSERT_NE(at, std::string::npos);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), embed.expert_bytes(), '\xff');
  const TemporaryFile file(bytes);
  contract::CheckContext context;
  context.model_path = file.path();
  context.backend = "reference";
  const contract::CheckResult result = contract::builtin_checks().find("gate.invariants")->run(context);
  EXPECT_EQ(result.verdict, Verdict::fail);
  EXPECT_EQ(result.reason, "embed is not finite");
}

TEST(GateChecks, PassOnTheReferenceAndTheCpu) {
  const contract::CheckRegistry registry = contract::builtin_checks();
  for (const char* name :
       {"gate.reference-vs-transformers", "gate.decode-vs-prefill", "gate.determinism", "gate.invariants",
        "gate.preload", "trace.stage-names", "trace.production-unchanged"})
    for (const char* backend : {"reference", "cpu"}) {
      contract::CheckContext context;
      context.model_path = tied_path;
      context.backend = backend;
      context.threads = 1;
      const contract::CheckResult result = registry.find(name)->run(context);
      EXPECT_EQ(result.verdict, Verdict::pass) << name << " on " << backend << ": " << result.reason;
    }
}

TEST(GateChecks, SayWhyTheyDidNotRun) {
  const contract::CheckRegistry registry = contract::builtin_checks();
  contract::CheckContext context;
  context.model_path = tied_path;
  context.backend = "cpu";
  for (const char* name : {"gate.memory", "gate.throughput"}) {
    EXPECT_EQ(registry.find(name)->run(context).verdict, Verdict::not_run) << name;
    EXPECT_FALSE(registry.find(name)->run(context).reason.empty());
  }
  context.backend = "reference";
  EXPECT_EQ(registry.find("gate.exact-parity")->run(context).verdict, Verdict::refused);
}

TEST(GateChecks, ReferenceAsADeviceGivesItsOwnBits) {
  const LoadedModel loaded(tied_path);
  contract::ReferenceDevice device(loaded.weights, 128, 1, 1);
  const contract::Prompt prompt{"one", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}};
  contract::JudgedLogits decoded, prefilled;
  ASSERT_TRUE(contract::run_decode(device, prompt, 0, decoded, nullptr));
  ASSERT_TRUE(contract::run_prefill(device, prompt, 0, prefilled, nullptr));
  EXPECT_EQ(decoded.size(), 9u * 509u);
  EXPECT_EQ(decoded, prefilled);
}

// ---- Prompts ----

TEST(Prompts, BuiltInOnesCoverDecode) {
  const LoadedModel demo(demo_path);
  const auto set = contract::builtin_prompts(demo.file->metadata(), demo.weights.config);
  ASSERT_TRUE(set) << to_string(set.error());
  EXPECT_GE(set->prompts.size(), contract::full_prompt_count);
  std::set<std::string> names;
  bool crosses_a_page = false;
  for (const contract::Prompt& prompt : set->prompts) {
    names.insert(prompt.name);
    EXPECT_GE(prompt.size(), contract::shortest_prompt) << prompt.name;
    EXPECT_GE(prompt.prefill(), 1);
    crosses_a_page = crosses_a_page || (prompt.prefill() <= 64 && prompt.size() > 64);
  }
  EXPECT_EQ(names.size(), set->prompts.size());
  EXPECT_TRUE(crosses_a_page);
}

TEST(Prompts, FixedIdsWhereTheVocabularyHasThem) {
  const gguf::Metadata none;
  model::Config config;
  config.context_length = 4096;
  for (const std::int32_t vocab : {509, 151936}) {
    config.vocab_size = vocab;
    const auto set = contract::builtin_prompts(none, config);
    ASSERT_TRUE(set) << to_string(set.error());
    EXPECT_GE(set->prompts.size(), contract::full_prompt_count);
    const bool has_fixed = set->prompts.back().name == "fixed ids";
    EXPECT_EQ(has_fixed, vocab == 151936);
    if (has_fixed) {
      EXPECT_EQ(set->prompts.back().tokens[1], 9217);
    }
  }
}

TEST(Prompts, HashTellsSetsApart) {
  PromptSet a, b;
  a.prompts = {{"x", {1, 23}}, {"y", {4}}};
  b.prompts = {{"x", {12, 3}}, {"y", {4}}};
  EXPECT_NE(a.sha256(), b.sha256());
  b.prompts = {{"other names", {1, 23}}, {"count for nothing", {4}}};
  EXPECT_EQ(a.sha256(), b.sha256());
  EXPECT_EQ(a.sha256(), sha256("1,23\n4\n"));
}

TEST(Prompts, QuickIsFourShortOnesAndOneReachesTiles) {
  const LoadedModel demo(demo_path);
  const auto all = contract::builtin_prompts(demo.file->metadata(), demo.weights.config);
  ASSERT_TRUE(all);
  const PromptSet quick = contract::quick_subset(*all);
  EXPECT_EQ(quick.prompts.size(), 4u);
  EXPECT_EQ(quick.rows(), 3 * 12 + 32);
  // WebGPU multiplies tiles from 17 rows on, the CPU from fewer.
  std::int64_t longest_prefill = 0;
  for (const contract::Prompt& prompt : quick.prompts)
    for (std::int64_t begin = 0; const std::int64_t end : contract::prefill_ends(prompt)) {
      longest_prefill = std::max(longest_prefill, end - begin);
      begin = end;
    }
  EXPECT_GE(longest_prefill, 17);
  EXPECT_TRUE(quick.check(demo.weights.config));
}

TEST(Prompts, FilesHoldTextsAndIds) {
  const LoadedModel demo(demo_path);
  const TemporaryFile file(R"(["def main():\n    print('one two three four five six')\n",
                                               [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]])");
  const auto set = contract::read_prompts(file.path(), demo.file->metadata(), demo.weights.config);
  ASSERT_TRUE(set) << to_string(set.error());
  ASSERT_EQ(set->prompts.size(), 2u);
  EXPECT_EQ(set->prompts[1].tokens.back(), 12);
}

TEST(Prompts, FilesThatAreWrongAreNamed) {
  const LoadedModel demo(demo_path);
  const std::pair<const char*, const char*> wrong[] = {
      {"", "no JSON"},
      {"{}", "array"},
      {"[]", "no prompt"},
      {"[5]", "item 1"},
      {R"(["short"])", "too short"},
      {"[[1,2,3,4,5,6,7,8,9,10,11,1e3]]", "no token id"},
      {"[[1,2,3,4,5,6,7,8,9,10,11,-1]]", "no token id"},
      {"[[1,2,3,4,5,6,7,8,9,10,11,4294967296]]", "no token id"},
      {"[[1,2,3,4,5,6,7,8,9,10,11,8192]]", "vocabulary"},
  };
  for (const auto& [text, says] : wrong) {
    const TemporaryFile file(text);
    const auto set = contract::read_prompts(file.path(), demo.file->metadata(), demo.weights.config);
    ASSERT_FALSE(set) << text;
    EXPECT_EQ(set.error().code, ErrorCode::validation_failed);
    EXPECT_NE(to_string(set.error()).find(says), std::string::npos) << to_string(set.error());
  }
  const auto absent = contract::read_prompts("/no/such/file", demo.file->metadata(), demo.weights.config);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::file_not_found);
  // A text needs a tokenizer.
  const TemporaryFile text(R"(["a text for a model without a tokenizer"])");
  const auto wordless = contract::read_prompts(text.path(), gguf::Metadata(), demo.weights.config);
  ASSERT_FALSE(wordless);
  EXPECT_NE(to_string(wordless.error()).find("no tokenizer"), std::string::npos);
}

// ---- Figures ----

TEST(Compare, NanAndUnequalLengthsAreNan) {
  const std::vector<float> good = {1, 2, 3}, bad = {1, nan, 3}, far = {1, infinity, 3}, shorter = {1, 2};
  for (const auto& [a, e] :
       {std::pair(bad, good), {good, bad}, {bad, bad}, {far, far}, {shorter, good}, {{}, {}}}) {
    EXPECT_TRUE(std::isnan(contract::compare(a, e).cosine));
    EXPECT_TRUE(std::isnan(contract::compare(a, e).relative_l2));
    EXPECT_TRUE(std::isnan(contract::kl_divergence(a, e)));
    EXPECT_TRUE(std::isnan(contract::largest_difference(a, e)));
  }
  EXPECT_EQ(contract::argmax(bad), -1);
  EXPECT_EQ(contract::argmax(std::vector<float>{}), -1);
  EXPECT_EQ(contract::argmax(std::vector<float>{1, 3, 3}), 1);
}

TEST(Compare, KnownValues) {
  const std::vector<float> a = {3, 4}, e = {4, 3}, zero = {0, 0};
  EXPECT_NEAR(contract::compare(a, e).cosine, 24.0 / 25, 1e-15);
  EXPECT_NEAR(contract::compare(a, e).relative_l2, std::sqrt(2.0) / 5, 1e-15);
  EXPECT_EQ(contract::compare(zero, zero).cosine, 1);
  EXPECT_EQ(contract::compare(a, zero).cosine, 0);
  const std::vector<float> thirds = {1.0f / 3, 1.0f / 7, 1.0f / 11};
  EXPECT_LE(contract::compare(thirds, thirds).cosine, 1);
  EXPECT_GE(contract::kl_divergence(thirds, thirds), 0);
  EXPECT_EQ(contract::compare(a, zero).relative_l2, std::numeric_limits<double>::infinity());
  // p = (1/4, 3/4) against (1/2, 1/2): ¼ ln ½ + ¾ ln 1½.
  const std::vector<float> p = {0, std::log(3.0f)}, q = {7, 7};
  EXPECT_NEAR(contract::kl_divergence(q, p), 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-7);
}

// ---- Goldens ----

class Goldens : public testing::Test {
 protected:
  LoadedModel loaded{tied_path};
  contract::LegResult judge(const std::function<void(std::vector<float>&)>& spoil) {
    const auto goldens = contract::read_goldens(tied_path, loaded.weights.config);
    EXPECT_TRUE(goldens);
    ThreadPool pool(1);
    return contract::judge_goldens(
        *goldens, loaded.weights.config, "reference",
        [&](std::span<const std::int32_t> tokens) -> Result<std::vector<float>> {
          reference::Sequence sequence;
          TRINE_TRY(auto logits,
                    reference::Model(loaded.weights).forward(sequence, tokens, true, pool, nullptr));
          spoil(logits);
          return logits;
        });
  }
};

TEST_F(Goldens, TheReferencePasses) {
  const contract::LegResult leg = judge([](std::vector<float>&) {});
  EXPECT_EQ(leg.result.verdict, Verdict::pass) << leg.result.reason;
}

TEST_F(Goldens, WhatDiffersFails) {
  EXPECT_EQ(judge([](std::vector<float>& logits) { logits.back() = nan; }).result.verdict, Verdict::fail);
  EXPECT_EQ(judge([](std::vector<float>& logits) { logits.back() += 1; }).result.verdict, Verdict::fail);
  EXPECT_EQ(judge([](std::vector<float>& logits) { logits.front() = 1000; }).result.verdict, Verdict::fail);
  EXPECT_EQ(judge([](std::vector<float>& logits) { logits.resize(logits.size() - 509); }).result.verdict,
            Verdict::refused);
}

TEST_F(Goldens, FilesThatCannotJudgeAreRefused) {
  const auto absent = contract::read_goldens(testing::TempDir() + "absent.gguf", loaded.weights.config);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::file_not_found);
  // The goldens of a model that lies beside a file of this text, whose name ends so.
  const auto read_goldens_beside = [&](const std::string& text, const std::string& suffix) {
    const TemporaryFile file(text, suffix);
    std::string model = file.path();
    model.replace(model.size() - suffix.size(), suffix.size(), ".gguf");
    return contract::read_goldens(model, loaded.weights.config);
  };
  for (const char* text :
       {"[]", "{}", R"({"reference": "x", "cases": []})", R"({"reference": "x", "cases": [5]})",
        R"({"reference": "x", "cases": [{"tokens": [1], "logits_last": [1.0]}]})",
        R"({"reference": "Trine 0.1", "cases": [{}]})"}) {
    const auto goldens = read_goldens_beside(text, ".golden.json");
    ASSERT_FALSE(goldens) << text;
    EXPECT_EQ(goldens.error().code, ErrorCode::validation_failed);
  }
  // Under the general name another file may lie there; golden logits that are wrong are wrong there too.
  for (const auto& [text, code] : {std::pair{"{}", ErrorCode::file_not_found},
                                   {R"({"reference": "x", "cases": [5]})", ErrorCode::validation_failed}}) {
    const auto goldens = read_goldens_beside(text, ".json");
    ASSERT_FALSE(goldens) << text;
    EXPECT_EQ(goldens.error().code, code);
  }
}

// ---- The sentence ----

TEST(Summary, NamesEachModeAndWhatItExcuses) {
  contract::GateResult result;
  result.model.layers_in_file = result.model.layers_run = 8;
  result.prompts.count = 19;
  contract::LegResult exact = contract::leg_without('X', Numerics::exact, Verdict::pass, "");
  exact.cells = {{Stage::attention, 6, 1 - 2.1e-12, 1e-6, "a", 0, 100, 0},
                 {Stage::moe_out, 7, 1, 1e-7, "a", 0, 0, 100}};
  exact.choices = 8064;
  contract::LegResult fast = contract::leg_without('F', Numerics::fast, Verdict::pass, "");
  fast.prompts = {{"a", 24, 7, 2, 0.99986, 1e-3, 0, 0.965}, {"b", 24, 9, 0, 0.9999, 1e-3, 0, 1}};
  fast.choices = 8064;
  fast.choices_different = 43;
  result.legs = {exact, fast};
  contract::conclude(result);
  EXPECT_EQ(contract::summarise(result),
            "This device gives the reference's answer. Exact: worst stage cosine 1 - 2.1e-12 at layer 6, "
            "attention; 0 of 8,064 expert choices differ. Fast: worst logits cosine 0.99986; 43 of 8,064 "
            "expert choices differ, all near-ties or following one; 2 of 18 positions miss a bound because "
            "of them (20 % allowed), worst 0.965.");
  result.model.layers_run = 3;
  result.prompts.count = 4;
  EXPECT_TRUE(contract::summarise(result).starts_with(
      "This device gives the reference's answer for the first 3 of 8 layers on 4 prompts only. Exact: "));
}

TEST(Summary, AWrongReferenceDoesNotBlameTheDevice) {
  contract::GateResult result;
  result.legs = {contract::leg_without('R', Numerics::exact, Verdict::fail, "m.json: it differs"),
                 contract::leg_without('X', Numerics::exact, Verdict::pass, "")};
  contract::conclude(result);
  EXPECT_EQ(result.verdict, Verdict::fail);
  EXPECT_EQ(contract::summarise(result),
            "The reference itself does not match the golden logits beside the model, so it cannot judge this "
            "device: m.json: it differs.");
}

TEST(Summary, SaysWhyThereIsNoVerdict) {
  contract::GateResult result;
  result.model.random_weights = true;
  result.legs = {contract::leg_without('R', Numerics::exact, Verdict::not_run, "no golden logits"),
                 contract::leg_without('F', Numerics::fast, Verdict::not_run, "the weights are random")};
  contract::conclude(result);
  EXPECT_EQ(
      contract::summarise(result),
      "No verdict: exact numerics were not asked for (leg X), and fast numerics are not judged on random "
      "weights (leg F). Use --numerics both.");
}

}  // namespace
}  // namespace trine::test
