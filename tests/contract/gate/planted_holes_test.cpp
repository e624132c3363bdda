// Backends that are right wherever an easy gate looks: when they are traced, before they die, at early
// positions, alone in a batch.
#include "contract/gate/runs.h"
#include "contract/gate/scope.h"
#include "faulty_model.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace trine::test {
namespace {

using contract::Prompt;
using contract::PromptSet;
using contract::Verdict;
using model::Numerics;

void negate(const FaultyStep&, std::span<float> logits) {
  for (float& x : logits) x = -x;
}

// ---- Wrong unless traced ----

// The same wrong answer every time, so that two runs repeat.
TEST(PlantedHoles, ABackendThatIsWrongWhenNobodyTraces) {
  FaultyBench bench;
  bench.fault.untraced_logits = negate;
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::fail);
  for (const Numerics numerics : {Numerics::exact, Numerics::fast}) {
    const contract::CheckResult& leg = leg_of(result, 'T', numerics);
    EXPECT_EQ(leg.verdict, Verdict::fail) << model::name_of(numerics);
    EXPECT_NE(leg.reason.find("that tracing changes"), std::string::npos) << leg.reason;
    ASSERT_TRUE(leg.first_divergence);
    EXPECT_LT(leg.first_divergence->cosine, -0.99);
  }
}

TEST(PlantedHoles, TheUntracedRunIsHeldToTheByte) {
  FaultyBench bench;
  bench.fault.untraced_logits = [](const FaultyStep&, std::span<float> logits) {
    if (!logits.empty()) logits[0] = std::nextafter(logits[0], 1e9f);
  };
  EXPECT_EQ(leg_of(bench.run(), 'T', Numerics::exact).verdict, Verdict::fail);
}

// ---- A device that dies ----

contract::GateResult dying(ErrorCode code, int batches) {
  FaultyBench bench;
  bench.options.numerics = {Numerics::exact};
  bench.fault.alive = [code, left = batches]() mutable -> Result<void> {
    if (left-- > 0) return {};
    return fail(code, "the device was lost");
  };
  return bench.run();
}

// Four prompts of nine batches; decode, prefill and pairs follow.
TEST(PlantedHoles, ADeviceThatIsLostHasFailed) {
  for (const ErrorCode code :
       {ErrorCode::backend_unavailable, ErrorCode::feature_missing, ErrorCode::inference})
    for (const int batches : {0, 5, 36, 40, 72, 76, 80}) {
      const contract::GateResult result = dying(code, batches);
      EXPECT_EQ(result.verdict, Verdict::fail) << batches << ": " << contract::summarise(result);
      EXPECT_NE(result.reason.find("the device was lost"), std::string::npos) << result.reason;
    }
}

TEST(PlantedHoles, ADeviceThatDoesNotOpenASecondTimeHasFailed) {
  FaultyBench bench;
  const contract::OpenBackend real = bench.open;
  int opens = 0;
  bench.open = [&, real](Numerics numerics, int threads) -> Result<std::unique_ptr<model::DeviceModel>> {
    if (++opens > 4) return fail(ErrorCode::backend_unavailable, "the device cannot be opened again");
    return real(numerics, threads);
  };
  const contract::GateResult result = bench.run();
  EXPECT_GT(opens, 4);
  EXPECT_EQ(result.verdict, Verdict::fail);
  for (const char leg : {'D', 'T'}) EXPECT_EQ(leg_of(result, leg, Numerics::exact).verdict, Verdict::fail);
}

TEST(PlantedHoles, AVerdictWantsEveryLegThatWasAskedFor) {
  for (const char leg : {'X', 'D', 'T'}) {
    contract::GateResult result;
    for (const char one : {'X', 'D', 'T'})
      result.legs.push_back(contract::leg_without(one, Numerics::exact,
                                                  one == leg ? Verdict::not_run : Verdict::pass,
                                                  one == leg ? "it is gone" : ""));
    result.legs.push_back(contract::leg_without('F', Numerics::fast, Verdict::pass, ""));
    contract::conclude(result);
    EXPECT_EQ(result.verdict, Verdict::not_run) << leg;
    EXPECT_EQ(result.reason, "it is gone");
  }
}

// ---- Late positions and large batches ----

// The long prompts alone, over few layers.
PromptSet long_prompts(const PromptSet& all) {
  PromptSet some;
  for (const Prompt& prompt : all.prompts)
    if (prompt.size() > 64) some.prompts.push_back(prompt);
  return some;
}

struct LongBench : FaultyBench {
  LongBench() {
    use_prompts(long_prompts(*contract::builtin_prompts(loaded.file->metadata(), weights.config)));
    options.numerics = {Numerics::exact};
  }
};

TEST(PlantedHoles, TheLongPromptsThemselvesPass) {
  LongBench bench;
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  EXPECT_EQ(result.prompts.longest, 300);
  EXPECT_EQ(result.prompts.largest_batch, 292 + 64);
}

TEST(PlantedHoles, ABackendThatIsWrongBehindPosition72) {
  LongBench bench;
  bench.fault.logits = [](const FaultyStep& faulty, std::span<float> logits) {
    if (faulty.step.rows.back().position >= 72) negate(faulty, logits);
  };
  EXPECT_EQ(leg_of(bench.run(), 'X', Numerics::exact).verdict, Verdict::fail);
}

TEST(PlantedHoles, ABackendThatIsWrongInLargeBatches) {
  LongBench bench;
  bench.fault.logits = [](const FaultyStep& faulty, std::span<float> logits) {
    if (faulty.step.rows.size() > 72) negate(faulty, logits);
  };
  const contract::GateResult result = bench.run();
  EXPECT_EQ(leg_of(result, 'X', Numerics::exact).verdict, Verdict::fail);
  EXPECT_EQ(leg_of(result, 'D', Numerics::exact).verdict, Verdict::fail);
}

// A chunk of a prompt that does not see the cache that an earlier one filled: it is run on other pages.
TEST(PlantedHoles, ABackendThatForgetsBetweenChunks) {
  LongBench bench;
  bench.fault.step = [](FaultyStep& faulty) {
    if (faulty.step.rows.size() > 1 && faulty.step.rows.front().position > 0)
      std::reverse(faulty.page_tables[0].begin(), faulty.page_tables[0].end());
  };
  EXPECT_EQ(leg_of(bench.run(), 'X', Numerics::exact).verdict, Verdict::fail);
}

// ---- Several sequences in a batch ----

TEST(PlantedHoles, ABackendThatMixesSequencesUp) {
  const std::vector<std::function<void(FaultyStep&)>> mistakes = {
      // Decoding reads and writes the other sequence's pages.
      [](FaultyStep& faulty) {
        if (faulty.is_shared() && faulty.step.rows.size() == 2)
          std::swap(faulty.page_tables[0], faulty.page_tables[1]);
      },
      [](FaultyStep& faulty) {
        if (faulty.is_shared()) std::swap(faulty.step.rows[0].token, faulty.step.rows[1].token);
      }};
  for (const auto& mistake : mistakes) {
    FaultyBench bench;
    bench.options.numerics = {Numerics::exact};
    bench.fault.step = mistake;
    const contract::GateResult result = bench.run();
    EXPECT_EQ(leg_of(result, 'X', Numerics::exact).verdict, Verdict::pass);
    EXPECT_EQ(leg_of(result, 'D', Numerics::exact).verdict, Verdict::fail);
    EXPECT_EQ(result.verdict, Verdict::fail);
  }
}

TEST(PlantedHoles, ABackendThatSwapsTheAnswersOfABatch) {
  FaultyBench bench;
  bench.options.numerics = {Numerics::exact};
  bench.fault.logits = [](const FaultyStep& faulty, std::span<float> logits) {
    const std::size_t half = logits.size() / 2;
    if (faulty.is_shared())
      std::swap_ranges(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(half),
                       logits.begin() + static_cast<std::ptrdiff_t>(half));
  };
  EXPECT_EQ(leg_of(bench.run(), 'D', Numerics::exact).verdict, Verdict::fail);
}

// An odd number of prompts, and a single one: the last runs beside the first, and its own rows are judged.
TEST(PlantedHoles, OddNumbersOfPromptsRunSideBySideToo) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{3}}) {
    FaultyBench bench;
    bench.options.numerics = {Numerics::exact};
    PromptSet some = bench.prompts;
    some.prompts.resize(count);
    bench.use_prompts(some);
    EXPECT_EQ(bench.run().verdict, Verdict::pass);
    const contract::Prompt& last = some.prompts.back();
    const std::int64_t position = last.prefill() + 3;  // while decoding
    bench.fault.logits = [&](const FaultyStep& faulty, std::span<float> logits) {
      const model::Row& row = faulty.step.rows[0];
      if (faulty.is_shared() && row.position == position &&
          row.token == last.tokens[static_cast<std::size_t>(position)])
        negate(faulty, logits);
    };
    EXPECT_EQ(leg_of(bench.run(), 'D', Numerics::exact).verdict, Verdict::fail) << count;
  }
}

// ---- Prompts that are no prompts ----

TEST(PlantedHoles, OnePromptManyTimesIsRefused) {
  FaultyBench bench;
  PromptSet same;
  for (int i = 0; i < 16; ++i) same.prompts.push_back({std::to_string(i), bench.prompts.prompts[0].tokens});
  bench.use_prompts(same);
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::refused);
  EXPECT_NE(result.reason.find("stands there twice"), std::string::npos) << result.reason;
}

// What is left out, of a run that is complete but for one thing.
std::vector<std::string> left(const std::function<void(contract::GateResult&, contract::RunScope&)>& change) {
  contract::GateResult result;
  result.prompts.count = 20;
  result.prompts.longest = contract::longest_prompt;
  result.model.layers_run = result.model.layers_in_file = 8;
  for (const char leg : {'X', 'F'})
    result.legs.push_back(
        contract::leg_without(leg, leg == 'X' ? Numerics::exact : Numerics::fast, Verdict::pass, ""));
  result.goldens = {"m.golden.json", sha256("golden"), "transformers", 8};
  contract::RunScope scope{false, 20, false};
  change(result, scope);
  return contract::left_out(result, scope);
}

TEST(LeftOut, IsSaidOfEverythingThatWasNotDone) {
  EXPECT_TRUE(left([](auto&, auto&) {}).empty());
  const std::pair<const char*, std::function<void(contract::GateResult&, contract::RunScope&)>> holes[] = {
      {"--prompts: the built-in prompts", [](auto&, auto& scope) { scope.own_prompts = true; }},
      {"--quick: 20 of 30",
       [](auto&, auto& scope) {
         scope = {true, 30, false};
       }},
      {"15 prompts", [](auto& result, auto&) { result.prompts.count = 15; }},
      {"no prompt crosses a page", [](auto& result, auto&) { result.prompts.longest = 64; }},
      {"positions from 200 on", [](auto& result, auto&) { result.prompts.longest = 200; }},
      {"first 3 of 8", [](auto& result, auto&) { result.model.layers_run = 3; }},
      {"leg X", [](auto& result, auto&) { result.legs.erase(result.legs.begin()); }},
      {"leg F", [](auto& result, auto&) { result.legs.pop_back(); }},
      {"measured only", [](auto& result, auto&) { result.model.random_weights = true; }},
      {"1 golden case,", [](auto& result, auto&) { result.goldens->cases = 1; }},
  };
  for (const auto& [says, change] : holes) {
    const std::vector<std::string> said = left(change);
    ASSERT_EQ(said.size(), 1u) << says;
    EXPECT_NE(said[0].find(says), std::string::npos) << said[0];
  }
}

}  // namespace
}  // namespace trine::test
