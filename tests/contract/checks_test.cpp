// The checks pass on the reference and the CPU, and what runs them cannot be talked into a pass.
#include "contract/checks.h"

#include "contract/falsify.h"
#include "contract/judge.h"
#include "contract/lab.h"
#include "contract_fixture.h"

#include <cmath>
#include <limits>

namespace trine::test {
namespace {

using contract::Bound;
using contract::CheckContext;
using contract::CheckRegistry;
using contract::CheckResult;
using contract::Judge;
using contract::Verdict;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
const std::string demo = TRINE_SOURCE_DIR "/models/demo-coder-Q4_K_M.gguf";

std::vector<std::string> lab_checks() {
  std::vector<std::string> names;
  const CheckRegistry registry = contract::builtin_checks();
  for (const auto& [name, check] : registry.all())
    if (name.starts_with("router.") || name.starts_with("dispatch.") || name.starts_with("swiglu.") ||
        name.starts_with("tensors."))
      names.push_back(name);
  return names;
}

std::string test_name(std::string name) {
  for (char& c : name)
    if (c == '.' || c == '-') c = '_';
  return name;
}

// Of these, tests of a backend that is not there say so; the rest depend on none.
bool depends_on_a_backend(const std::string& name) {
  return !name.starts_with("tensors.") || name == "tensors.row-major";
}

class LabCheck : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Checks, LabCheck, testing::ValuesIn(lab_checks()),
                         [](const auto& info) { return test_name(info.param); });

TEST_P(LabCheck, PassesOnReferenceAndCpu) {
  const CheckRegistry registry = contract::builtin_checks();
  for (const char* backend : {"reference", "cpu"}) {
    for (const int threads : {1, 2}) {
      const CheckResult result = registry.find(GetParam())->run(CheckContext{demo, backend, threads});
      EXPECT_EQ(result.verdict, Verdict::pass) << backend << ": " << result.reason;
    }
  }
}

TEST_P(LabCheck, IsNotRunWithoutTheBackend) {
  if (!depends_on_a_backend(GetParam())) GTEST_SKIP() << "depends on no backend";
  const CheckRegistry registry = contract::builtin_checks();
  const CheckResult result = registry.find(GetParam())->run(CheckContext{demo, "cuda", 1});
  EXPECT_EQ(result.verdict, Verdict::not_run);
  EXPECT_NE(result.reason.find("cuda"), std::string::npos) << result.reason;
}

TEST(Checks, AnAbsentModelIsNoPass) {
  const CheckRegistry registry = contract::builtin_checks();
  for (const char* name : {"tensors.names", "tensors.own-type"})
    EXPECT_EQ(registry.find(name)->run(CheckContext{"/no/such.gguf", "", 1}).verdict, Verdict::not_run)
        << name;
}

TEST(Checks, WhatNeedsAServerIsNotRun) {
  const CheckRegistry registry = contract::builtin_checks();
  const CheckResult result = registry.find("sse.order")->run({});
  EXPECT_EQ(result.verdict, Verdict::not_run);
  EXPECT_EQ(result.reason, "no server in this build");
}

// The lab's premise: token t sees exactly column t.
TEST(Lab, HandsTheRouterExactNumbers) {
  contract::Lab lab(8, 2, 32, 3);
  for (std::int64_t t = 0; t < 3; ++t)
    for (std::int64_t e = 0; e < 8; ++e)
      contract::Lab::see(lab.router, e, t, 0.1f * static_cast<float>(t + 1) + static_cast<float>(e));
  for (const char* backend : {"reference", "cpu"}) {
    const CheckResult result =
        contract::judge_lab({demo, backend, 1}, lab, [&](const contract::Observed& observed, Judge& judge) {
          for (std::int64_t t = 0; t < 3; ++t)
            for (std::int64_t e = 0; e < 8; ++e)
              judge.expect(observed.row(model::Stage::router_logits, t, 8)[static_cast<std::size_t>(e)] ==
                               0.1f * static_cast<float>(t + 1) + static_cast<float>(e),
                           "exact logits");
          judge.expect(observed.ids(0, 2) == std::vector<std::int64_t>{7, 6}, "the two largest");
        });
    EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  }
}

TEST(Lab, WhatWasNotReportedIsNan) {
  const contract::Observed nothing;
  EXPECT_TRUE(std::isnan(nothing.row(model::Stage::moe_out, 0, 4)[3]));
  EXPECT_EQ(nothing.ids(0, 2), (std::vector<std::int64_t>{-1, -1}));
}

TEST(JudgeTest, NothingMeasuredIsNoPass) {
  EXPECT_EQ(Judge().result().verdict, Verdict::fail);
  Judge bounded;
  bounded.hold("error", "<=", 1);
  EXPECT_EQ(bounded.result().verdict, Verdict::fail);
}

TEST(JudgeTest, NanFailsWhateverTheBound) {
  for (const char* relation : {"<=", ">=", "=="}) {
    Judge judge;
    for (const double x : {0.0, nan, 0.0}) judge.sample("error", x);
    judge.hold("error", relation, 0);
    EXPECT_EQ(judge.result().verdict, Verdict::fail) << relation;
  }
  Judge unbounded;
  unbounded.sample("error", nan);
  EXPECT_EQ(unbounded.result().verdict, Verdict::fail);
}

TEST(JudgeTest, OneSampleDecides) {
  Judge judge;
  for (const double x : {0.1, 0.2, 0.3}) judge.sample("error", x);
  judge.hold("error", "<=", 0.3);
  EXPECT_EQ(judge.result().verdict, Verdict::pass);
  judge.sample("error", 0.31);
  EXPECT_EQ(judge.result().verdict, Verdict::fail);
  Judge statement;
  statement.expect(true, "fine");
  statement.expect(false, "broken");
  statement.expect(false, "later");
  EXPECT_EQ(statement.result().reason, "broken");
}

CheckResult measured(double value, const std::string& relation, double limit) {
  Judge judge;
  judge.sample("error", value);
  judge.hold("error", relation, limit);
  return judge.result();
}

TEST(Bounds, TheContractHasTheLastWord) {
  const Bound bound{"error", "<=", 1e-6, 1};
  const auto judged = [&](CheckResult result) {
    return contract::enforce_bounds({&bound, 1}, std::move(result));
  };
  EXPECT_EQ(judged(measured(1e-7, "<=", 1e-6)).verdict, Verdict::pass);
  // A threshold loosened to fit fails, also where the sample would have held.
  EXPECT_EQ(judged(measured(1e-3, "<=", 1e-2)).verdict, Verdict::fail);
  EXPECT_EQ(judged(measured(1e-7, "<=", 1e-2)).verdict, Verdict::refused);
  EXPECT_EQ(judged(measured(1e-7, ">=", 1e-6)).verdict, Verdict::fail);
  CheckResult empty;
  empty.verdict = Verdict::pass;
  EXPECT_EQ(judged(empty).verdict, Verdict::refused);
  CheckResult lying = measured(1e-7, "<=", 1e-6);
  lying.figures[0].max = nan;
  EXPECT_EQ(judged(lying).verdict, Verdict::fail);
  lying.figures[0].max = 1e-7;
  lying.figures[0].n = 0;
  EXPECT_EQ(judged(lying).verdict, Verdict::refused);
  // What did not pass stays as it was.
  EXPECT_EQ(judged(contract::not_run("no device")).verdict, Verdict::not_run);
}

TEST(Falsify, RunsEachBackendAndNothingTwice) {
  CheckRegistry registry;
  std::vector<std::string> seen;
  registry.add({"sample.check", "", [&](const CheckContext& context) {
                  seen.push_back(context.backend);
                  return context.backend == "cpu" ? measured(0, "<=", 1e-6) : contract::not_run("absent");
                }});
  const auto parsed = contract::parse_contract(sample(33, {"    backends: [cpu, cuda]"}), "sample-v1.yaml");
  auto runs = contract::run_falsifiers(parsed.contract, registry, {});
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(seen, (std::vector<std::string>{"cpu", "cuda"}));
  EXPECT_EQ(runs[0].result.verdict, Verdict::pass);
  EXPECT_EQ(runs[1].result.verdict, Verdict::not_run);

  contract::FalsifyOptions only_wgpu;
  only_wgpu.backend = "wgpu";
  EXPECT_TRUE(contract::run_falsifiers(parsed.contract, registry, only_wgpu).empty());
  runs = contract::run_falsifiers(parsed.contract, CheckRegistry{}, {});
  EXPECT_EQ(runs[0].result.verdict, Verdict::not_run);  // not registered
}

TEST(Falsify, CommandsAreJudgedByTheirExitCode) {
  EXPECT_EQ(contract::judge_exit_code(0, "trine x").verdict, Verdict::pass);
  EXPECT_EQ(contract::judge_exit_code(14, "trine x").verdict, Verdict::not_run);
  EXPECT_EQ(contract::judge_exit_code(9, "trine x").verdict, Verdict::not_run);
  for (const int code : {1, 3, 5, 8, 127, 134, 139})
    EXPECT_EQ(contract::judge_exit_code(code, "trine x").verdict, Verdict::fail) << code;

  const auto parsed =
      contract::parse_contract(sample(32, {"    command: trine  inspect --json"}), "sample-v1.yaml");
  contract::Contract contract = parsed.contract;
  contract.tests[0].bounds.clear();
  EXPECT_EQ(contract::run_falsifiers(contract, {}, {})[0].result.verdict, Verdict::not_run);
  contract::FalsifyOptions options;
  options.run_command = [](const std::vector<std::string>& arguments) {
    EXPECT_EQ(arguments, (std::vector<std::string>{"inspect", "--json"}));
    return contract::judge_exit_code(0, "trine inspect --json");
  };
  EXPECT_EQ(contract::run_falsifiers(contract, {}, options)[0].result.verdict, Verdict::pass);
}

TEST(Verdicts, TheWorstPartDecides) {
  EXPECT_EQ(contract::combine(Verdict::pass, Verdict::pass), Verdict::pass);
  EXPECT_EQ(contract::combine(Verdict::pass, Verdict::not_run), Verdict::not_run);
  EXPECT_EQ(contract::combine(Verdict::refused, Verdict::not_run), Verdict::refused);
  EXPECT_EQ(contract::combine(Verdict::refused, Verdict::fail), Verdict::fail);
}

}  // namespace
}  // namespace trine::test
