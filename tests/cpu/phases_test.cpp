// The phases of a timed step: all are there, within the step's time, and what they read and multiply is what
// the file's tensors and the model's shape say.
#include "cpu/arithmetic.h"
#include "cpu/device.h"
#include "cpu_fixture.h"

#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>

namespace trine::test {
namespace {

using model::Numerics;
using model::PhaseTime;
using model::Stage;
using model::Wants;

// The demo model's shape, as its file's makers state it: two of eight experts.
constexpr double layers = 8, H = 512, Q = 512, K = 256, E = 8, k = 2, F = 256, V = 8192;

class Phases : public testing::Test {
 protected:
  LoadedModel loaded{demo_path};
  std::unique_ptr<cpu::CpuModel> model;
  std::vector<model::OpenSlot> slots;

  // Sequences of these lengths, all run.
  void start(Numerics numerics, const std::vector<std::int32_t>& lengths,
             const model::Choosing& choosing = {}, std::optional<model::KvType> kv_type = {}) {
    slots.clear();
    model::LoadOptions load = options(numerics);
    load.kv_type = kv_type;
    model = value_of(cpu::CpuModel::load(loaded.weights, load));
    for (const std::int32_t length : lengths) {
      slots.push_back(value_of(model::OpenSlot::open(*model, choosing)));
      std::vector<std::int32_t> pages(2);
      std::iota(pages.begin(), pages.end(), 2 * slots.back().id());
      ASSERT_TRUE(model->set_pages(slots.back().id(), pages, 0));
      const auto tokens =
          sample_tokens(static_cast<std::size_t>(length), loaded.weights.config.vocab_size, 7);
      value_of(model->run(rows_of(tokens, 0, slots.back().id(), Wants::nothing)));
    }
  }

  std::map<std::string, PhaseTime> time(const model::Step& step, model::StepTime* whole = nullptr) {
    const model::StepTime time = value_of(model->time_step(step, true));
    if (whole != nullptr) *whole = time;
    std::map<std::string, PhaseTime> phases;
    for (const PhaseTime& phase : time.phases) phases[phase.name] = phase;
    return phases;
  }

  // Of the tensors whose names end so, in all layers.
  double bytes_of(const std::string& ending) const {
    double bytes = 0;
    for (const gguf::TensorInfo& tensor : loaded.file->tensors())
      if (tensor.name.ends_with(ending)) bytes += static_cast<double>(tensor.bytes);
    EXPECT_GT(bytes, 0) << ending;
    return bytes;
  }

  // Of the experts that the traced step chose, each once a layer.
  double chosen_bytes(const TraceRecorder& trace, const std::string& name) const {
    double bytes = 0;
    for (int layer = 0; layer < layers; ++layer) {
      const std::vector<float>& ids = trace.stages.at({Stage::expert_ids, layer});
      const std::string tensor = "blk." + std::to_string(layer) + "." + name + ".weight";
      bytes += bytes_of(tensor) / E * static_cast<double>(std::set(ids.begin(), ids.end()).size());
    }
    return bytes;
  }

  void expect_weight_bytes(const std::map<std::string, PhaseTime>& phases, const TraceRecorder& trace) const {
    EXPECT_EQ(phases.at("norm").bytes,
              bytes_of("attn_norm.weight") + bytes_of("ffn_norm.weight") + bytes_of("output_norm.weight"));
    EXPECT_EQ(phases.at("qkv").bytes,
              bytes_of("attn_q.weight") + bytes_of("attn_k.weight") + bytes_of("attn_v.weight"));
    EXPECT_EQ(phases.at("rope_and_kv").bytes,
              bytes_of("attn_q_norm.weight") + bytes_of("attn_k_norm.weight"));
    EXPECT_EQ(phases.at("attn_output").bytes, bytes_of("attn_output.weight"));
    EXPECT_EQ(phases.at("router").bytes, bytes_of("ffn_gate_inp.weight"));
    EXPECT_EQ(phases.at("expert_gate_up").bytes,
              chosen_bytes(trace, "ffn_gate_exps") + chosen_bytes(trace, "ffn_up_exps"));
    EXPECT_EQ(phases.at("expert_down").bytes, chosen_bytes(trace, "ffn_down_exps"));
    EXPECT_EQ(phases.at("sampling").bytes, 0);
    // The output matrix is the file's own, or the embedding.
    const gguf::TensorInfo* own = loaded.file->find_tensor("output.weight");
    const double bytes = own != nullptr ? static_cast<double>(own->bytes) : bytes_of("token_embd.weight");
    EXPECT_EQ(phases.at("logits").bytes, bytes);
  }
};

TEST_F(Phases, AreAllThereWithinTheStepsTime) {
  start(Numerics::fast, {20});
  model::StepTime step;
  time({{{5, 20, slots[0].id(), Wants::token}}}, &step);
  const std::vector<std::string> expected = {"embed",       "norm",        "qkv",     "rope_and_kv",
                                             "attention",   "attn_output", "router",  "expert_gate_up",
                                             "expert_down", "logits",      "sampling"};
  std::vector<std::string> names;
  double sum = 0;
  for (const PhaseTime& phase : step.phases) {
    names.push_back(phase.name);
    EXPECT_GT(phase.microseconds, 0) << phase.name;
    EXPECT_GE(phase.idle_microseconds, 0) << phase.name;
    EXPECT_LE(phase.idle_microseconds, phase.microseconds) << phase.name;
    // Once at an end of the model, or in each layer: norm twice and at the end, the rotation's table before.
    const bool at_end = phase.name == "embed" || phase.name == "logits" || phase.name == "sampling";
    EXPECT_EQ(phase.count, at_end                        ? 1
                           : phase.name == "norm"        ? 2 * layers + 1
                           : phase.name == "rope_and_kv" ? layers + 1
                                                         : layers)
        << phase.name;
    sum += phase.microseconds;
  }
  EXPECT_EQ(names, expected);
  EXPECT_LE(sum, step.microseconds);
  EXPECT_TRUE(value_of(model->time_step({{{5, 20, slots[0].id(), Wants::token}}}, false)).phases.empty());
}

TEST_F(Phases, ReadAndMultiplyWhatATokenNeeds) {
  constexpr std::int32_t position = 70;
  start(Numerics::fast, {position});
  const model::Step step = {{{5, position, slots[0].id(), Wants::token}}};
  const auto phases = time(step);
  TraceRecorder trace;
  value_of(model->run(step, &trace));

  expect_weight_bytes(phases, trace);
  EXPECT_EQ(phases.at("embed").bytes, bytes_of("token_embd.weight") / V);
  EXPECT_EQ(phases.at("attention").bytes, layers * (position + 1) * 2 * K * 2) << "16-bit keys and values";
  EXPECT_EQ(phases.at("qkv").flops_8bit, layers * 2 * H * (Q + 2 * K));
  EXPECT_EQ(phases.at("attention").flops_f32, layers * (position + 1) * 4 * Q);
  EXPECT_EQ(phases.at("attn_output").flops_8bit, layers * 2 * H * Q);
  EXPECT_EQ(phases.at("router").flops_f32, layers * 2 * E * H);
  EXPECT_EQ(phases.at("expert_gate_up").flops_8bit, layers * 2 * k * 2 * F * H);
  EXPECT_EQ(phases.at("expert_down").flops_8bit, layers * 2 * k * F * H);
  EXPECT_EQ(phases.at("logits").flops_8bit, 2 * V * H);
  for (const char* name : {"qkv", "attn_output", "expert_gate_up", "expert_down", "logits"})
    EXPECT_EQ(phases.at(name).flops_f32, 0) << name;
}

TEST_F(Phases, ReadKeysAndValuesAsTheyAreKept) {
  const std::map<model::KvType, double> bytes_an_element = {{model::KvType::f32, 4},
                                                            {model::KvType::f16, 2},
                                                            {model::KvType::bf16, 2},
                                                            {model::KvType::q8_0, 36.0 / 32}};
  for (const auto& [type, bytes] : bytes_an_element) {
    start(Numerics::fast, {20}, {}, type);
    const auto phases = time({{{5, 20, slots[0].id(), Wants::token}}});
    EXPECT_EQ(phases.at("attention").bytes, layers * 21 * 2 * K * bytes) << name_of(type);
  }
}

TEST_F(Phases, OfSeveralSequencesReadWhatTheyShareOnce) {
  start(Numerics::exact, {20, 33, 4});
  model::Step step;
  const std::vector<std::int32_t> lengths = {20, 33, 4};
  for (std::size_t s = 0; s < slots.size(); ++s)
    step.rows.push_back({static_cast<std::int32_t>(100 * s + 5), lengths[s], slots[s].id(), Wants::token});
  step.rows.insert(step.rows.begin() + 1, {900, 21, slots[0].id(), Wants::nothing});
  std::swap(step.rows[0].wants, step.rows[1].wants);
  const auto phases = time(step);
  TraceRecorder trace;
  value_of(model->run(step, &trace));

  expect_weight_bytes(phases, trace);
  EXPECT_EQ(phases.at("embed").bytes, 4 * bytes_of("token_embd.weight") / V);
  EXPECT_EQ(phases.at("attention").bytes, layers * (22 + 34 + 5) * 2 * K * 4) << "exact keeps fp32";
  EXPECT_EQ(phases.at("attention").flops_f32, layers * (21 + 22 + 34 + 5) * 4 * Q);
  EXPECT_EQ(phases.at("expert_down").flops_f32, 4 * layers * 2 * k * F * H);
  EXPECT_EQ(phases.at("expert_down").flops_8bit, 0);
  EXPECT_EQ(phases.at("logits").flops_f32, 3 * 2 * V * H);
}

TEST_F(Phases, AStepThatWantsNothingHasNoLogits) {
  start(Numerics::fast, {3});
  const auto phases = time({{{5, 3, slots[0].id(), Wants::nothing}}});
  EXPECT_EQ(phases.at("logits").count, 0);
  EXPECT_EQ(phases.at("logits").bytes, 0);
  EXPECT_EQ(phases.at("norm").bytes, bytes_of("attn_norm.weight") + bytes_of("ffn_norm.weight"));
}

// Nine draws that were never made, and a token that was never taken.
TEST_F(Phases, TimingAStepChangesNoChoice) {
  model::Choosing choosing;
  choosing.params = {.temperature = 1.0f, .repeat_penalty = 1.3f};
  choosing.params.seed = 3;
  const auto choose = [&](bool timed) {
    start(Numerics::fast, {20}, choosing);
    std::vector<std::int32_t> chosen;
    for (std::int32_t i = 0; i < 12; ++i) {
      const model::Step step = {{{i == 0 ? 5 : model::last_choice, 20 + i, slots[0].id(), Wants::token}}};
      if (timed && i % 4 == 3) value_of(model->time_step(step, i == 7));
      chosen.push_back(value_of(model->run(step)).tokens.at(0));
    }
    return chosen;
  };
  EXPECT_EQ(choose(true), choose(false));
}

// Each instruction does eight products a cycle and core at least, and no processor has 10 GHz, or more than
// 2048 of them a cycle.
TEST(CpuArithmetic, IsMeasuredForEveryInstructionSetThatHasSome) {
  ThreadPool pool(1);
  for (const cpu::IsaSupport& isa : cpu::list_isas()) {
    if (!isa.available || isa.name == "portable") continue;
    const auto rate = cpu::measure_arithmetic(isa.name, pool);
    ASSERT_TRUE(rate) << isa.name;
    EXPECT_GT(rate->flops_f32, 1e8) << isa.name;
    EXPECT_GT(rate->flops_8bit, rate->flops_f32) << isa.name;
    EXPECT_LT(rate->flops_8bit, 4.1e13) << isa.name;
    EXPECT_FALSE(rate->instructions.empty());
  }
  EXPECT_FALSE(cpu::measure_arithmetic("portable", pool));
}

}  // namespace
}  // namespace trine::test
