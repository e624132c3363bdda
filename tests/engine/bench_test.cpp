// What the measurements hold; how fast anything is, is nothing to test.
#include "engine/bench.h"

#include "backend/registry.h"
#include "loaded_model.h"
#include "step_helpers.h"

#include <gtest/gtest.h>

namespace trine::engine {
namespace {

class BenchOnCpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!backend::find_backend("cpu")->built) GTEST_SKIP() << "this build has no CPU backend";
    loaded.emplace(test::demo_path);
  }

  BenchPlan plan(bool parts) const {
    BenchPlan one;
    one.decode = 2;
    one.depths = {5};
    one.sequences = {2};
    one.repetitions = 1;
    one.warmup = 0;
    one.parts = parts;
    return one;
  }
  std::unique_ptr<model::DeviceModel> open() const {
    return test::value_of(backend::load_model("cpu", loaded->weights, {.threads = 2, .context = 1024}));
  }

  std::optional<test::LoadedModel> loaded;
};

const model::PhaseTime& phase(const model::StepTime& step, const std::string& name) {
  for (const model::PhaseTime& one : step.phases)
    if (one.name == name) return one;
  throw std::runtime_error("no phase " + name);
}

TEST_F(BenchOnCpu, PhasesAreTimedOnlyWhenAskedFor) {
  const auto device = open();
  Bench bench(*device);
  const DecodeCase one{5, 2, *find_sampling("greedy")};
  EXPECT_FALSE(test::value_of(bench.prefill(3, plan(false))).phases);
  EXPECT_FALSE(test::value_of(bench.decode(one, plan(false))).step);

  const DecodeRate decode = test::value_of(bench.decode(one, plan(true)));
  ASSERT_TRUE(decode.step);
  EXPECT_TRUE(decode.step->kernels.empty());
  double sum = 0;
  for (const model::PhaseTime& one_phase : decode.step->phases) sum += one_phase.microseconds;
  EXPECT_GT(sum, 0);
  EXPECT_LE(sum, decode.step->microseconds);
  // The step in the middle: two sequences, each at position 6.
  const model::Config& c = loaded->weights.config;
  EXPECT_EQ(phase(*decode.step, "attention").bytes, 2.0 * 7 * c.n_layers * 2 * c.kv_size() * 2);
}

// A prompt of two steps reads the weights twice, but for those of the logits, which only its end wants.
TEST_F(BenchOnCpu, PhasesOfAPromptAreThoseOfAllItsSteps) {
  const auto device = open();
  Bench bench(*device);
  const std::int32_t rows = device->limits().rows;
  const PrefillRate short_one = test::value_of(bench.prefill(rows, plan(true)));
  const PrefillRate long_one = test::value_of(bench.prefill(rows + 1, plan(true)));
  ASSERT_TRUE(short_one.phases && long_one.phases);
  const model::StepTime &one = *short_one.phases, &two = *long_one.phases;
  EXPECT_EQ(phase(two, "qkv").bytes, 2 * phase(one, "qkv").bytes);
  EXPECT_EQ(phase(two, "qkv").count, 2 * phase(one, "qkv").count);
  EXPECT_EQ(phase(two, "logits").bytes, phase(one, "logits").bytes);
  EXPECT_EQ(phase(two, "logits").count, 1);
  EXPECT_DOUBLE_EQ(phase(two, "qkv").flops_8bit, phase(one, "qkv").flops_8bit * (rows + 1) / rows);
}

}  // namespace
}  // namespace trine::engine
