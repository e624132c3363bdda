// What must not be judged is refused: the wrong file, prompts or device on one side, a backend against
// itself.
#include "contract/checks/checks.h"
#include "contract/judge/judge.h"
#include "contract/report/report.h"
#include "faulty_model.h"
#include "model/device_names.h"

#include <algorithm>
#include <memory>
#include <optional>

namespace trine::test {
namespace {

using contract::Verdict;
using model::Numerics;
using model::Stage;

void expect_refused(const contract::GateResult& result, const std::string& because) {
  EXPECT_EQ(result.verdict, Verdict::refused) << result.reason;
  EXPECT_NE(result.reason.find(because), std::string::npos) << result.reason;
  for (const contract::LegResult& leg : result.legs) {
    EXPECT_EQ(leg.result.verdict, Verdict::refused) << leg.leg;
    EXPECT_FALSE(leg.result.reason.empty());
  }
}

TEST(PlantedSides, TheBenchItselfPasses) {
  FaultyBench bench;
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  EXPECT_EQ(leg_of(result, 'X', Numerics::exact).verdict, Verdict::pass);
}

TEST(PlantedSides, AnotherModelFile) {
  FaultyBench bench;
  bench.backend_sha256 = sha256("another file");
  expect_refused(bench.run(), "different model files");
}

TEST(PlantedSides, AModelFileThatIsNotNamed) {
  FaultyBench bench;
  bench.model_sha256 = bench.backend_sha256 = "";
  expect_refused(bench.run(), "which model file");
}

TEST(PlantedSides, AnotherPrompt) {
  FaultyBench bench;
  bench.backend_prompts.prompts[1].tokens[3] ^= 1;
  expect_refused(bench.run(), "different prompts");
}

TEST(PlantedSides, OnePromptLess) {
  FaultyBench bench;
  bench.backend_prompts.prompts.pop_back();
  expect_refused(bench.run(), "different prompts");
}

TEST(PlantedSides, OneTokenLess) {
  FaultyBench bench;
  bench.backend_prompts.prompts[0].tokens.pop_back();
  expect_refused(bench.run(), "different prompts");
}

TEST(PlantedSides, PromptsTooShortToDecode) {
  FaultyBench bench;
  bench.prompts.prompts[0].tokens.resize(8);
  bench.backend_prompts = bench.prompts;
  expect_refused(bench.run(), "too short");
}

TEST(PlantedSides, TheReferenceAgainstItself) {
  FaultyBench bench;
  bench.backend = "reference";
  expect_refused(bench.run(), "compared with itself");
}

// Not by its own name either.
TEST(PlantedSides, TheReferenceUnderABackendsName) {
  FaultyBench bench({[](model::DeviceInfo& info) { info.backend = "reference"; }, {}, {}, {}});
  expect_refused(bench.run(), "says it is 'reference'");
}

// A bench of the wgpu backend on a device of this type and name.
contract::GateResult run_as_gpu(const char* type, const char* name, const char* driver = "1") {
  FaultyBench bench({[=](model::DeviceInfo& info) {
                       info.backend = "wgpu";
                       info.type = type;
                       info.name = name;
                       info.driver = driver;
                     },
                     {},
                     {},
                     {}});
  bench.backend = "wgpu";
  bench.is_gpu = true;
  return bench.run();
}

TEST(PlantedSides, ADeviceThatDoesNotSayItIsAGpu) {
  for (const char* type : {"cpu", "", "Cpu", "other", "Software", "gpu"})
    expect_refused(run_as_gpu(type, "NVIDIA H200"), "no GPU");
}

TEST(PlantedSides, ASoftwareAdapterNamedAsGpu) {
  for (const char* name : {"llvmpipe (LLVM 15.0.6, 256 bits)", "lavapipe", "SwiftShader Device (Subzero)",
                           "Microsoft Basic Render Driver", "Direct3D WARP"})
    for (const char* type : {"discrete-gpu", "integrated-gpu", "virtual-gpu"})
      expect_refused(run_as_gpu(type, name), "is a software adapter");
  expect_refused(run_as_gpu("discrete-gpu", "Radeon", "llvmpipe Mesa 22.3.6"), "is a software adapter");
}

TEST(PlantedSides, ASoftwareAdapterThatSaysSoIsJudgedAndCountsAsNoGpu) {
  const contract::GateResult result = run_as_gpu("software", "llvmpipe (LLVM 15.0.6, 256 bits)");
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  const std::string note(model::software_note);
  EXPECT_NE(contract::summarise(result).find(note), std::string::npos) << contract::summarise(result);
  EXPECT_NE(contract::to_html(result, {}, "now").find(note), std::string::npos);
  EXPECT_EQ(model::counts_as(result.devices.front()), model::software_note);
}

// A GPU's own tests are not run on it, whatever it computes.
TEST(PlantedSides, ASoftwareAdapterHasNoSpeed) {
  contract::CheckContext context;
  context.model_path = tied_path;
  context.backend = "wgpu";
  context.load = [](const model::Weights& weights,
                    const model::LoadOptions& options) -> Result<std::unique_ptr<model::DeviceModel>> {
    static const Fault software{[](model::DeviceInfo& info) {
                                  info.backend = "wgpu";
                                  info.type = "software";
                                },
                                {},
                                {},
                                {}};
    TRINE_TRY(auto real, backend::load_model("cpu", weights, options));
    return std::make_unique<FaultyModel>(std::move(real), software);
  };
  const contract::CheckRegistry registry = contract::builtin_checks();
  const contract::CheckResult speed = registry.find("gate.throughput")->run(context);
  EXPECT_EQ(speed.verdict, Verdict::not_run);
  EXPECT_NE(speed.reason.find(model::software_note), std::string::npos) << speed.reason;
}

TEST(PlantedSides, AGpuThatSaysSoIsJudged) {
  FaultyBench bench({[](model::DeviceInfo& info) {
                       info.backend = "cuda";
                       info.type = "discrete-gpu";
                     },
                     {},
                     {},
                     {}});
  bench.backend = "cuda";
  bench.is_gpu = true;
  EXPECT_EQ(bench.run().verdict, Verdict::pass);
}

// A GPU that has one stage computed by the host.
Fault with_stage_on_host(Stage on_host) {
  Fault fault{[](model::DeviceInfo& info) {
                info.backend = "cuda";
                info.type = "discrete-gpu";
              },
              {},
              {},
              {}};
  fault.place = [=](Stage stage) { return stage == on_host ? model::Place::host : model::Place::device; };
  return fault;
}

TEST(PlantedSides, AStageOfAGpuThatRanOnTheHost) {
  for (const Stage stage : {Stage::embed, Stage::router_logits, Stage::logits}) {
    FaultyBench bench(with_stage_on_host(stage));
    bench.backend = "cuda";
    bench.is_gpu = true;
    const contract::GateResult result = bench.run();
    expect_refused(result, std::string(model::name_of(stage)) + " ran on the host");
    EXPECT_EQ(result.devices.front().stage_place[static_cast<std::size_t>(stage)], "host");
  }
}

// A processor is its own host: nothing is claimed that did not happen.
TEST(PlantedSides, AStageOfACpuThatRanOnTheHostIsSaidToHave) {
  FaultyBench bench;
  bench.fault.place = with_stage_on_host(Stage::moe_out).place;
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  for (const model::DeviceInfo& device : result.devices) {
    EXPECT_EQ(device.stage_place[static_cast<std::size_t>(Stage::moe_out)], "host");
    EXPECT_EQ(device.stage_place[static_cast<std::size_t>(Stage::layer_out)], "device");
  }
}

TEST(PlantedSides, AStageThatDoesNotSayWhereItRan) {
  FaultyBench bench(
      {[](model::DeviceInfo& info) { info.stage_place[static_cast<std::size_t>(Stage::moe_out)].clear(); },
       {},
       {},
       {}});
  expect_refused(bench.run(), "does not say where it ran moe_out");
}

// One that nobody saw did not run anywhere.
TEST(PlantedSides, AStageThatIsNeverDelivered) {
  FaultyBench bench({{}, {}, {}, [](Stage stage, int, std::int64_t, std::vector<float>& values) {
                       if (stage == Stage::moe_out) values.clear();
                     }});
  expect_refused(bench.run(), "does not say where it ran moe_out");
}

// A context of the wgpu backend whose device is a CPU with this fault, which outlives it.
contract::CheckContext context_of(const Fault& fault) {
  contract::CheckContext context;
  context.model_path = tied_path;
  context.backend = "wgpu";
  context.threads = 1;
  context.load = [&](const model::Weights& weights,
                     const model::LoadOptions& options) -> Result<std::unique_ptr<model::DeviceModel>> {
    TRINE_TRY(auto real, backend::load_model("cpu", weights, options));
    return std::make_unique<FaultyModel>(std::move(real), fault);
  };
  return context;
}

TEST(PlantedSides, ChecksOfTracesRefuseAStageOnTheHost) {
  Fault fault = with_stage_on_host(Stage::attention);
  fault.describe = [](model::DeviceInfo& info) {
    info.backend = "wgpu";
    info.type = "discrete-gpu";
  };
  const contract::CheckRegistry registry = contract::builtin_checks();
  for (const char* name : {"gate.invariants", "trace.stage-names", "trace.production-unchanged"}) {
    const contract::CheckResult refused = registry.find(name)->run(context_of(fault));
    EXPECT_EQ(refused.verdict, Verdict::refused) << name;
    EXPECT_NE(refused.reason.find("attention ran on the host"), std::string::npos) << refused.reason;
  }
  fault.place = {};
  const contract::CheckResult passed = registry.find("gate.invariants")->run(context_of(fault));
  EXPECT_EQ(passed.verdict, Verdict::pass) << passed.reason;
}

// ---- Memory ----

contract::CheckResult memory_of(std::optional<model::MemoryUse> use) {
  Fault fault{[](model::DeviceInfo& info) {
                info.backend = "wgpu";
                info.type = "software";
              },
              {},
              {},
              {}};
  fault.memory = [=] { return use; };
  return contract::builtin_checks().find("gate.memory")->run(context_of(fault));
}

TEST(PlantedSides, ADeviceThatHoldsWhatItPlannedPasses) {
  for (const std::uint64_t held : {1000u, 995u})
    EXPECT_EQ(memory_of(model::MemoryUse{1000, held}).verdict, Verdict::pass) << held;
}

TEST(PlantedSides, ADeviceThatHoldsAnotherAmountThanItPlannedHasFailed) {
  struct Case {
    model::MemoryUse use;
    const char* says;
  };
  for (const Case& one :
       {Case{{1000, 1001}, "'held over planned'"}, Case{{1000, 2000}, "'held over planned'"},
        Case{{1000, 985}, "'planned over held'"}, Case{{1000, 0}, "'planned over held'"},
        Case{{0, 1000}, "'held over planned'"}, Case{{0, 0}, "'held over planned'"}}) {
    const contract::CheckResult result = memory_of(one.use);
    EXPECT_EQ(result.verdict, Verdict::fail) << one.use.planned << " " << one.use.held;
    EXPECT_NE(result.reason.find(one.says), std::string::npos) << result.reason;
  }
}

TEST(PlantedSides, AGpuThatDoesNotSayWhatItHoldsIsRefused) {
  const contract::CheckResult result = memory_of(std::nullopt);
  EXPECT_EQ(result.verdict, Verdict::refused);
  EXPECT_NE(result.reason.find("does not say what it holds"), std::string::npos) << result.reason;
}

TEST(PlantedSides, FastNumericsPassedAsExact) {
  FaultyBench bench;
  bench.options.numerics = {Numerics::exact};
  const contract::OpenBackend real = bench.open;
  bench.open = [real](Numerics, int threads) { return real(Numerics::fast, threads); };
  expect_refused(bench.run(), "runs fast");
}

TEST(PlantedSides, AnotherModelUnderTheSameName) {
  FaultyBench bench;
  const model::Weights shorter = contract::cut_layers(bench.loaded.weights, 2);
  bench.open = [&](Numerics numerics, int threads) {
    model::LoadOptions options;
    options.threads = threads;
    options.numerics = numerics;
    return backend::load_model("cpu", shorter, options);
  };
  expect_refused(bench.run(), "different models");
}

TEST(PlantedSides, ABackendThatIsNotBuiltWasNotRun) {
  FaultyBench bench;
  bench.backend = "cuda";
  bench.is_gpu = true;
  bench.open = [&](Numerics, int) { return backend::load_model("cuda", bench.weights, {}); };
  if (backend::find_backend("cuda")->built) GTEST_SKIP() << "this build has the backend";
  const contract::GateResult result = bench.run();
  EXPECT_EQ(result.verdict, Verdict::not_run);
  EXPECT_NE(result.reason.find("no cuda backend"), std::string::npos) << result.reason;
}

// A trace that holds fewer or more rows than there are tokens, or rows of another width.
TEST(PlantedSides, UnequalNumbersOfRows) {
  const auto drop = [](Stage stage, int layer, std::int64_t width, std::vector<float>& values) {
    if (stage == Stage::attention && layer == 1)
      values.resize(values.size() - static_cast<std::size_t>(width));
  };
  const auto add = [](Stage stage, int layer, std::int64_t width, std::vector<float>& values) {
    if (stage == Stage::attention && layer == 1)
      values.resize(values.size() + static_cast<std::size_t>(width));
  };
  const auto twice = [](Stage stage, int layer, std::int64_t, std::vector<float>& values) {
    if (stage == Stage::moe_out && layer == 0) values.insert(values.end(), values.begin(), values.end());
  };
  for (const auto& fault : std::vector<decltype(Fault::stage)>{drop, add, twice}) {
    FaultyBench bench({{}, {}, {}, fault});
    bench.options.numerics = {Numerics::exact};
    const contract::GateResult result = bench.run();
    EXPECT_EQ(result.verdict, Verdict::refused);
    EXPECT_EQ(leg_of(result, 'X', Numerics::exact).verdict, Verdict::refused);
    EXPECT_NE(result.reason.find("unequal numbers of rows"), std::string::npos) << result.reason;
  }
}

TEST(PlantedSides, AnAbsentModelIsNoPass) {
  const contract::CheckRegistry registry = contract::builtin_checks();
  for (const char* name : {"gate.exact-parity", "gate.fast-parity", "gate.decode-vs-prefill",
                           "gate.determinism", "gate.per-layer", "gate.invariants", "trace.stage-names",
                           "trace.production-unchanged", "gate.reference-vs-transformers"}) {
    contract::CheckContext context;
    context.model_path = models_dir + "no-such-model.gguf";
    context.backend = "cpu";
    const contract::CheckResult result = registry.find(name)->run(context);
    EXPECT_EQ(result.verdict, Verdict::refused) << name;
    EXPECT_NE(result.reason.find("file not found"), std::string::npos) << result.reason;
  }
}

// Nothing was judged, so nothing passed.
TEST(PlantedSides, NoLegIsNoPass) {
  contract::GateResult empty;
  contract::conclude(empty);
  EXPECT_EQ(empty.verdict, Verdict::not_run);
  // Legs that do not look at the reference do not carry a verdict about it.
  for (const char leg : {'R', 'D', 'T'})
    empty.legs.push_back(contract::leg_without(leg, Numerics::exact, Verdict::pass, ""));
  empty.legs.push_back(contract::leg_without('X', Numerics::exact, Verdict::not_run, "was not asked for"));
  contract::conclude(empty);
  EXPECT_EQ(empty.verdict, Verdict::not_run);
  EXPECT_EQ(empty.reason, "was not asked for");
}

}  // namespace
}  // namespace trine::test
