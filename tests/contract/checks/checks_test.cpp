// The checks pass on the reference and the CPU, and what runs them cannot be talked into a pass.
#include "contract/checks/checks.h"

#include "contract/checks/falsify.h"
#include "contract/checks/lab.h"
#include "contract/judge/judge.h"
#include "contract_fixture.h"
#include "device/self_test.h"
#include "forwarding_model.h"
#include "step_helpers.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <utility>

namespace trine::test {
namespace {

using contract::Bound;
using contract::CheckContext;
using contract::CheckRegistry;
using contract::CheckResult;
using contract::Judge;
using contract::Verdict;

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

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

// Checks make models of one token, and every backend judges its kernels on the model it loads.
TEST(SelfTest, JudgesChoicesFromAVocabularyOfOne) {
  const auto lab = value_of(contract::make_model(contract::Lab(1, 1, 32, 1)));
  const auto device = value_of(backend::load_model("cpu", lab.weights, {}));
  const Result<void> judged = device::self_test(*device, lab.weights, {.many_rows = true, .choices = true});
  EXPECT_TRUE(judged) << to_string(judged.error());
}

// A backend that runs on the CPU and lies in one stage of its trace.
class FaultyDevice final : public ForwardingModel, private model::TraceSink {
 public:
  // Changes one delivery of the stage: its values, row by row of `width`.
  using Fault = std::function<void(std::vector<float>& values, std::int64_t width)>;
  FaultyDevice(std::unique_ptr<model::DeviceModel> device, model::Stage stage, Fault fault,
               bool twice = false)
      : ForwardingModel(std::move(device)), stage_(stage), fault_(std::move(fault)), twice_(twice) {}

 protected:
  Result<model::StepOutput> run_step(const model::Step& step, model::TraceSink* trace) override {
    out_ = trace;
    return real_->run(step, this);
  }

 private:
  bool wants(model::Stage stage, int layer) override { return out_->wants(stage, layer); }
  void take(model::Stage stage, int layer, std::int64_t first_row, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    std::vector<float> changed(values.begin(), values.end());
    if (stage == stage_ && fault_) fault_(changed, width);
    out_->take(stage, layer, first_row, rows, width, changed);
    if (stage == stage_ && twice_) out_->take(stage, layer, first_row, rows, width, changed);
  }

  model::Stage stage_;
  Fault fault_;
  bool twice_;
  model::TraceSink* out_ = nullptr;
};

struct Planted {
  const char* check;
  const char* fault;
  model::Stage stage;
  FaultyDevice::Fault change;
};

void scale(std::vector<float>& values, std::int64_t) {
  for (float& x : values) x *= 1.001f;
}
void spoil_one(std::vector<float>& values, std::int64_t) {
  values.back() = std::numeric_limits<float>::quiet_NaN();
}
void shift(std::vector<float>& values, std::int64_t) {
  for (float& x : values) x -= 0.01f;
}
void negate_all(std::vector<float>& values, std::int64_t) {
  for (float& x : values) x = -x;
}
// The last two of each row change places: the tie rule reversed, ranks out of order.
void swap_last(std::vector<float>& values, std::int64_t width) {
  for (std::size_t end = static_cast<std::size_t>(width); end <= values.size();
       end += static_cast<std::size_t>(width))
    std::swap(values[end - 1], values[end - 2]);
}
void turn(std::vector<float>& values, std::int64_t) {
  std::rotate(values.begin(), values.begin() + 1, values.end());
}
void turn_rows(std::vector<float>& values, std::int64_t width) {
  for (auto row = values.begin(); row != values.end(); row += width)
    std::rotate(row, row + width / 2, row + width);
}
void out_of_range(std::vector<float>& values, std::int64_t) {
  values.front() = 8;
}
void repeat_id(std::vector<float>& values, std::int64_t width) {
  if (width > 1) values[1] = values[0];
}
// By one unit in the last place and only in every second run, as atomic additions do.
void flicker(std::vector<float>& values, std::int64_t) {
  static int runs = 0;
  if (++runs % 2 == 0) values[0] = std::nextafter(values[0], 1e30f);
}
void depend_on_rows(std::vector<float>& values, std::int64_t width) {
  if (static_cast<std::int64_t>(values.size()) > width)
    for (float& x : values) x *= 1.00001f;
}

const Planted planted[] = {
    {"router.weights", "scaled", model::Stage::expert_weights, scale},
    {"router.weights", "nan", model::Stage::expert_weights, spoil_one},
    {"router.count", "repeated_id", model::Stage::expert_ids, repeat_id},
    {"router.ties", "tie_reversed", model::Stage::expert_ids, swap_last},
    {"router.large", "nan", model::Stage::expert_weights, spoil_one},
    {"router.zero", "scaled", model::Stage::expert_weights, scale},
    {"dispatch.dense", "scaled", model::Stage::moe_out, scale},
    {"dispatch.weighted-sum", "weights_swapped", model::Stage::expert_weights, swap_last},
    {"dispatch.weighted-sum", "nan", model::Stage::moe_out, spoil_one},
    {"dispatch.rank-order", "one_bit", model::Stage::moe_out, flicker},
    {"dispatch.range", "id_of_no_expert", model::Stage::expert_ids, out_of_range},
    {"dispatch.batch-independence", "depends_on_rows", model::Stage::moe_out, depend_on_rows},
    {"dispatch.laziness", "nan", model::Stage::moe_out, spoil_one},
    {"dispatch.expert-act", "ranks_turned", model::Stage::expert_act, turn_rows},
    {"swiglu.formula", "scaled", model::Stage::expert_act, scale},
    {"swiglu.zero", "shifted", model::Stage::expert_act, shift},
    {"swiglu.large-positive", "turned", model::Stage::expert_act, turn},
    {"swiglu.large-negative", "shifted", model::Stage::expert_act, shift},
    {"swiglu.lower-bound", "shifted", model::Stage::expert_act, shift},
    {"swiglu.sign", "negated", model::Stage::expert_act, negate_all},
    {"swiglu.linear-in-up", "shifted", model::Stage::expert_act, shift},
    {"swiglu.identity", "scaled", model::Stage::expert_act, scale},
    {"tensors.row-major", "turned", model::Stage::router_logits, turn},
};

class PlantedFault : public testing::TestWithParam<Planted> {};
INSTANTIATE_TEST_SUITE_P(Faults, PlantedFault, testing::ValuesIn(planted), [](const auto& info) {
  return test_name(std::string(info.param.check) + "_" + info.param.fault);
});

TEST_P(PlantedFault, IsCaught) {
  const Planted& fault = GetParam();
  CheckContext context{demo, "cpu", 1};
  context.load = [&](const model::Weights& weights,
                     const model::LoadOptions& options) -> Result<std::unique_ptr<model::DeviceModel>> {
    TRINE_TRY(auto device, backend::load_model("cpu", weights, options));
    return std::make_unique<FaultyDevice>(std::move(device), fault.stage, fault.change);
  };
  const CheckRegistry registry = contract::builtin_checks();
  const CheckResult result = registry.find(fault.check)->run(context);
  EXPECT_EQ(result.verdict, Verdict::fail) << fault.fault;
  EXPECT_FALSE(result.reason.empty());
}

// The numbers of a trace and its order are two checks: each has a fault that the other does not see.
TEST(TraceChecks, OneJudgesTheNumbersAndOneTheOrder) {
  struct Case {
    const char* fails;
    const char* passes;
    FaultyDevice::Fault change;
    bool twice;  // the stage is delivered again
  };
  const Case cases[] = {{"gate.invariants", "trace.stage-names", scale, false},
                        {"gate.invariants", "trace.stage-names", spoil_one, false},
                        {"trace.stage-names", "gate.invariants", {}, true}};
  const CheckRegistry registry = contract::builtin_checks();
  for (const Case& one : cases) {
    CheckContext context{demo, "cpu", 1};
    context.load = [&](const model::Weights& weights,
                       const model::LoadOptions& options) -> Result<std::unique_ptr<model::DeviceModel>> {
      TRINE_TRY(auto device, backend::load_model("cpu", weights, options));
      return std::make_unique<FaultyDevice>(std::move(device), model::Stage::expert_weights, one.change,
                                            one.twice);
    };
    EXPECT_EQ(registry.find(one.fails)->run(context).verdict, Verdict::fail) << one.fails;
    const CheckResult passed = registry.find(one.passes)->run(context);
    EXPECT_EQ(passed.verdict, Verdict::pass) << one.passes << ": " << passed.reason;
  }
}

// Every check that judges a backend has a fault that it catches.
TEST(Checks, EachHasAPlantedFault) {
  std::set<std::string> caught;
  for (const Planted& fault : planted) caught.insert(fault.check);
  for (const std::string& name : lab_checks())
    EXPECT_TRUE(caught.count(name) == 1 || (name.starts_with("tensors.") && name != "tensors.row-major"))
        << name;
}

class BackendCheck : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Checks, BackendCheck, testing::ValuesIn([] {
                           std::set<std::string> names;
                           for (const Planted& fault : planted) names.insert(fault.check);
                           return names;
                         }()),
                         [](const auto& info) { return test_name(info.param); });

TEST_P(BackendCheck, IsNotRunWithoutTheBackend) {
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

TEST(Checks, OfSamplingRunWithoutAModel) {
  const CheckRegistry registry = contract::builtin_checks();
  for (const char* name :
       {"sampling.greedy", "sampling.seeded", "sampling.distribution", "sampling.refusals"}) {
    const CheckResult result = registry.find(name)->run({});
    EXPECT_EQ(result.verdict, Verdict::pass) << name << ": " << result.reason;
  }
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
    for (const double x : {0.0, no_number, 0.0}) judge.sample("error", x);
    judge.hold("error", relation, 0);
    EXPECT_EQ(judge.result().verdict, Verdict::fail) << relation;
  }
  Judge unbounded;
  unbounded.sample("error", no_number);
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
  EXPECT_EQ(statement.result().reason, "this does not hold: broken");
  Judge found;
  found.require(true, "nothing");
  found.require(false, "what was found");
  found.expect(false, "later");
  EXPECT_EQ(found.result().reason, "what was found");
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
  lying.figures[0].max = no_number;
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
