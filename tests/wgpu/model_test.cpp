#include "wgpu/model.h"

#include "compare.h"
#include "fused_model.h"
#include "loaded_model.h"
#include "random_weight.h"
#include "reference/model.h"
#include "sample_tokens.h"
#include "scaled_weights.h"
#include "step_helpers.h"
#include "temporary_file.h"
#include "trace_recorder.h"
#include "wgpu_fixture.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

namespace trine::test {
namespace {

using model::Numerics;
using model::Stage;
using wgpu::WgpuModel;
using wgpu::WgpuOptions;

WgpuOptions options(Numerics numerics, std::vector<std::string> without = {}) {
  WgpuOptions result;
  result.device = wgpu::first_adapter;
  result.context = 512;
  result.numerics = numerics;
  result.threads = 2;
  result.without = std::move(without);
  result.checked_shaders = true;
  result.slots = 3;
  return result;
}

// Token ids below `vocab`, the same on every machine.
// One sequence on a model that owns all its pages, with the logits of every row.
class Runner {
 public:
  Runner(const LoadedModel& loaded, const WgpuOptions& options) {
    model = value_of(WgpuModel::load(loaded.weights, options));
    slot = value_of(model->open_slot());
    restart();
  }

  // Forgets the sequence; the next one gets its pages in an order of its own.
  void restart(bool reversed = false) {
    std::vector<std::int32_t> pages(static_cast<std::size_t>(model->limits().kv_pages));
    std::iota(pages.begin(), pages.end(), 0);
    if (reversed) std::reverse(pages.begin(), pages.end());
    EXPECT_TRUE(model->set_pages(slot, std::move(pages), 0));
  }

  // Appends tokens in slices of at most `slice`; returns [tokens][vocab_size].
  std::vector<float> run(const std::vector<std::int32_t>& tokens, std::size_t slice = 256,
                         model::TraceSink* trace = nullptr) {
    std::vector<float> all;
    for (std::size_t begin = 0; begin < tokens.size(); begin += slice) {
      const std::size_t n = std::min(slice, tokens.size() - begin);
      const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
      const model::Step step =
          rows_of({first, first + static_cast<std::ptrdiff_t>(n)}, model->length_of(slot), slot);
      const std::vector<float> logits = value_of(model->run(step, trace)).logits;
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }

  std::unique_ptr<WgpuModel> model;
  std::int32_t slot = 0;
};

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<std::string> all_models() {
  std::vector<std::string> paths = tiny_paths();
  paths.push_back(demo_path);
  return paths;
}

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  }
};

class WgpuModels : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  }
  LoadedModel loaded{GetParam()};
  const model::Config& config = loaded.weights.config;
};

INSTANTIATE_TEST_SUITE_P(Models, WgpuModels, testing::ValuesIn(all_models()),
                         [](const auto& info) { return test_name(info.param); });

void expect_close(const TraceRecorder& actual, const TraceRecorder& expected, const std::string& what) {
  ASSERT_EQ(actual.stages.size(), expected.stages.size());
  for (const auto& [key, values] : expected.stages) {
    const auto found = actual.stages.find(key);
    ASSERT_NE(found, actual.stages.end());
    const Difference difference = compare(found->second, values);
    EXPECT_TRUE(difference.cosine >= 0.99999 && difference.relative_l2 <= 2e-3)
        << what << ", " << model::name_of(key.first) << " layer " << key.second << ": cosine "
        << difference.cosine << ", relative L2 " << difference.relative_l2;
  }
}

bool on_software() {
  const auto adapter = wgpu::choose_adapter(wgpu::first_adapter);
  return adapter && adapter->type == "software";
}

// design of the gate: every stage of every layer within 1e-5 of the reference's direction and 2e-3 of its
// length. A batch of 18 rows and one of 5 run both attention kernels and every kind of mat-vec, with and
// without subgroups. A software adapter compiles for seconds a kernel, so there tokens of most models run one
// by one, which is half of the kernels, and only the one that mixes types runs all of this.
TEST_P(WgpuModels, ExactAgreesWithTheReferenceStageByStage) {
  const bool all = !on_software() || GetParam().find("tied") != std::string::npos;
  const std::vector<std::int32_t> tokens = sample_tokens(all ? 23 : 3, config.vocab_size);
  TraceRecorder expected;
  ThreadPool pool(2);
  reference::Sequence sequence;
  ASSERT_TRUE(reference::Model(loaded.weights).forward(sequence, tokens, true, pool, &expected));
  for (const std::vector<std::string>& without : {std::vector<std::string>{}, {"subgroups"}}) {
    if (!without.empty() && !all) continue;
    Runner runner(loaded, options(Numerics::exact, without));
    TraceRecorder actual;
    runner.run(tokens, all ? 18 : 1, &actual);
    expect_close(actual, expected, without.empty() ? "with subgroups" : "without subgroups");
  }
}

// Every type that models/tiny lacks, each in one matrix of a model: 18 rows and then 5, so that mat-vecs and
// tiled products both read them.
TEST_F(OnDevice, TypesOfFewBitsAgreeWithTheReferenceStageByStage) {
  using enum gguf::TensorType;
  LoadedModel loaded(models_dir + "tiny/tiny-BF16.gguf");
  model::Weights& w = loaded.weights;
  model::LayerWeights& layer = w.layers[0];
  std::vector<std::shared_ptr<std::vector<std::byte>>> kept;
  const std::pair<model::Weight*, gguf::TensorType> places[] = {
      {&w.embed, TQ1_0},           {&w.output, IQ2_XS},       {&layer.attn_q, IQ2_XXS},
      {&layer.attn_k, TQ2_0},      {&layer.attn_v, IQ2_S},    {&layer.attn_output, IQ3_XXS},
      {&layer.expert_gate, IQ3_S}, {&layer.expert_up, IQ1_S}, {&layer.expert_down, IQ1_M}};
  for (const auto& [weight, type] : places)
    kept.push_back(randomise_weight(*weight, type, static_cast<unsigned>(type)));

  const std::vector<std::int32_t> tokens = sample_tokens(23, w.config.vocab_size);
  TraceRecorder expected;
  ThreadPool pool(2);
  reference::Sequence sequence;
  ASSERT_TRUE(reference::Model(w).forward(sequence, tokens, true, pool, &expected));
  TraceRecorder exact;
  Runner runner(loaded, options(Numerics::exact));
  runner.run(tokens, 18, &exact);
  expect_close(exact, expected, "exact");
  const auto use = runner.model->memory_use();
  ASSERT_TRUE(use);
  EXPECT_LE(use->held, use->planned);

  // Fast: 8-bit activations cost about 1/127 of each block's largest value, so a stage is turned by some
  // thousandths; a wrong sign or scale turns it by far more.
  TraceRecorder fast;
  Runner(loaded, options(Numerics::fast)).run(tokens, 18, &fast);
  for (const auto& [key, values] : expected.stages)
    EXPECT_GE(compare(fast.stages.at(key), values).cosine, 0.99) << model::name_of(key.first);
}

TEST_F(OnDevice, ExactGreedyTokensOfTheDemoEqualTransformers) {
  const LoadedModel loaded(demo_path);
  const std::size_t vocab = static_cast<std::size_t>(loaded.weights.config.vocab_size);
  std::ifstream file(models_dir + "demo-coder-Q4_K_M.golden.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  Runner runner(loaded, options(Numerics::exact));
  const std::size_t cases = on_software() ? 1 : 3;
  ASSERT_GE(golden["cases"].size(), cases);
  for (std::size_t i = 0; i < cases; ++i) {
    const nlohmann::json& item = golden["cases"][i];
    runner.restart();
    // One row at a time, as a software adapter then compiles half of the kernels.
    std::vector<float> logits = runner.run(item["tokens"].get<std::vector<std::int32_t>>(), 1);
    std::vector<std::int32_t> greedy;
    while (greedy.size() < item["greedy"].size()) {
      greedy.push_back(argmax(std::span(logits).last(vocab)));
      logits = runner.run({greedy.back()});
    }
    EXPECT_EQ(greedy, item["greedy"].get<std::vector<std::int32_t>>()) << item["text"];
  }
}

// In fast numerics: runs, traces, slices, pages and neighbours in the batch.
class FastTied : public OnDevice {
 protected:
  void SetUp() override {
    OnDevice::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    loaded = std::make_unique<LoadedModel>(models_dir + "tiny/tied-Q4_K_M.gguf");
    runner = std::make_unique<Runner>(*loaded, options(Numerics::fast));
    vocab = static_cast<std::size_t>(loaded->weights.config.vocab_size);
  }

  std::vector<std::int32_t> tokens(std::size_t n, std::uint32_t seed) const {
    return sample_tokens(n, loaded->weights.config.vocab_size, seed);
  }

  std::unique_ptr<LoadedModel> loaded;
  std::unique_ptr<Runner> runner;
  std::size_t vocab = 0;
};

TEST_F(FastTied, RunsAndTracingChangeNoByte) {
  const std::vector<std::int32_t> prompt = tokens(35, 5);
  const std::vector<float> first = runner->run(prompt, 20);
  runner->restart();
  EXPECT_TRUE(same_bytes(runner->run(prompt, 20), first)) << "a second run";
  runner->restart();
  TraceRecorder trace;
  EXPECT_TRUE(same_bytes(runner->run(prompt, 20, &trace), first)) << "traced";
  EXPECT_EQ(trace.stages.at({Stage::logits, -1}), first);
  runner->restart(true);
  EXPECT_TRUE(same_bytes(runner->run(prompt, 20), first)) << "other pages";
}

// The first stage, in the order of the model, whose rows are not the same to the bit.
std::string first_difference(const TraceRecorder& a, const TraceRecorder& b, std::int32_t n_layers) {
  for (int layer = -1; layer < n_layers; ++layer)
    for (std::size_t i = 0; i < model::stage_count; ++i) {
      const auto stage = static_cast<Stage>(i);
      const auto in_a = a.stages.find({stage, layer}), in_b = b.stages.find({stage, layer});
      if (in_a == a.stages.end() || stage == Stage::final_norm || stage == Stage::logits) continue;
      if (in_b == b.stages.end() || !same_bytes(in_a->second, in_b->second))
        return std::string(model::name_of(stage)) + " of layer " + std::to_string(layer);
    }
  return {};
}

// Token by token, a few at once (mat-vecs) and many (matrix products), past position 128, where attention has
// several chunks to merge: 8-bit rounding makes any other order of a sum visible, so there is none.
// Decoding gives every chunk a workgroup in short contexts and every group of them in long ones: both are
// tested.
TEST_F(FastTied, NoBitDependsOnTheSizeOfABatch) {
  const std::vector<std::int32_t> prompt = tokens(140, 3);
  const std::vector<std::int32_t> head(prompt.begin(), prompt.begin() + 115);
  const std::vector<std::int32_t> tail(prompt.begin() + 115, prompt.end());
  TraceRecorder whole;
  const std::vector<float> prefill = runner->run(prompt, 256, &whole);
  for (const std::uint32_t few_chunks : {1, 100}) {
    WgpuOptions cut = options(Numerics::fast);
    cut.few_chunks = few_chunks;
    Runner other(*loaded, cut);
    for (const std::size_t slice : {1, 7}) {
      SCOPED_TRACE(testing::Message() << "few_chunks " << few_chunks << ", slice " << slice);
      other.restart();
      TraceRecorder trace;
      std::vector<float> sliced = other.run(head, 40, &trace);
      const std::vector<float> rest = other.run(tail, slice, &trace);
      sliced.insert(sliced.end(), rest.begin(), rest.end());
      EXPECT_EQ(first_difference(trace, whole, loaded->weights.config.n_layers), "");
      EXPECT_TRUE(same_bytes(sliced, prefill));
    }
  }
}

TEST_F(FastTied, SequencesDoNotSeeEachOther) {
  const std::vector<std::int32_t> first = tokens(70, 7), second = tokens(66, 8);
  const std::vector<float> alone_first = runner->run(first);
  runner->restart();
  const std::vector<float> alone_second = runner->run(second);
  EXPECT_TRUE(runner->model->close_slot(runner->slot));
  const std::vector<std::vector<std::int32_t>> pages = {{6, 1}, {2}, {0, 5}};  // the middle one has no rows
  for (std::int32_t slot = 0; slot < 3; ++slot) {
    ASSERT_EQ(value_of(runner->model->open_slot()), slot);
    EXPECT_TRUE(runner->model->set_pages(slot, pages[static_cast<std::size_t>(slot)], 0));
  }
  model::Step step;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const auto position = static_cast<std::int32_t>(i);
    const auto wants = [&](const std::vector<std::int32_t>& of) {
      return i + 1 == of.size() ? model::Wants::logits : model::Wants::nothing;
    };
    step.rows.push_back({first[i], position, 0, wants(first)});
    if (i < second.size()) step.rows.push_back({second[i], position, 2, wants(second)});
  }
  // The second sequence is shorter: its last row comes first.
  const std::vector<float> logits = value_of(runner->model->run(step)).logits;
  ASSERT_EQ(logits.size(), 2 * vocab);
  EXPECT_TRUE(same_bytes({logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(vocab)},
                         {alone_second.end() - static_cast<std::ptrdiff_t>(vocab), alone_second.end()}));
  EXPECT_TRUE(same_bytes({logits.begin() + static_cast<std::ptrdiff_t>(vocab), logits.end()},
                         {alone_first.end() - static_cast<std::ptrdiff_t>(vocab), alone_first.end()}));
}

TEST_F(FastTied, TheLastPositionIsRunAndTheNextIsRefused) {
  const model::StepLimits& limits = runner->model->limits();
  const std::int32_t end = limits.kv_pages * limits.kv_page_size;
  std::vector<std::int32_t> pages(static_cast<std::size_t>(limits.kv_pages));
  std::iota(pages.begin(), pages.end(), 0);
  EXPECT_TRUE(runner->model->set_pages(runner->slot, pages, end));
  const auto refused = runner->model->run({{{0, end, runner->slot, model::Wants::logits}}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::inference);
  EXPECT_EQ(value_of(runner->model->run({{{0, end - 1, runner->slot, model::Wants::logits}}})).logits.size(),
            vocab);
  EXPECT_TRUE(value_of(runner->model->run({{{0, end - 1, runner->slot}}})).logits.empty());
}

TEST_F(FastTied, DescribesItsDevice) {
  const model::DeviceInfo info = runner->model->describe();
  const auto adapter = wgpu::choose_adapter(wgpu::first_adapter);
  ASSERT_TRUE(adapter);
  EXPECT_EQ(info.backend, "wgpu");
  EXPECT_EQ(info.name, adapter->name);
  EXPECT_EQ(info.type, adapter->type);
  EXPECT_FALSE(info.api.empty());
  EXPECT_FALSE(info.driver.empty());
  EXPECT_EQ(info.numerics, Numerics::fast);
}

TEST_F(FastTied, SaysWhereStagesRanThatWereTraced) {
  TraceRecorder trace;
  runner->run({1}, 1, &trace);
  for (const std::string& place : runner->model->describe().stage_place) EXPECT_EQ(place, "device");
}

// More of it is judged by gate.memory.
TEST_F(FastTied, HoldsNoMoreThanWasPlanned) {
  runner->run({1}, 1);
  const auto use = runner->model->memory_use();
  ASSERT_TRUE(use);
  EXPECT_GT(use->held, 0u);
  EXPECT_LE(use->held, use->planned);
}

// In tensors that hold several weights, experts are further apart than their rows.
TEST_F(OnDevice, FusedTensorsGiveTheSameBits) {
  const std::string name = models_dir + "tiny/tiny-Q8_0.gguf";
  const LoadedModel apart(name);
  EditedModel edited(name);
  fuse_all(edited, 1, 4);
  const TemporaryFile file("", ".gguf");
  edited.write(file.path());
  const LoadedModel fused(file.path());
  const auto tokens = sample_tokens(20, apart.weights.config.vocab_size);
  for (const Numerics numerics : {Numerics::exact, Numerics::fast}) {
    WgpuOptions untested = options(numerics);  // the other tests judge the kernels
    untested.self_test = false;
    Runner a(apart, untested), b(fused, untested);
    EXPECT_EQ(a.run(tokens), b.run(tokens));
  }
}

TEST_F(OnDevice, AContextThatDoesNotFitIsRefusedWithWhatWould) {
  const LoadedModel loaded(demo_path);
  WgpuOptions huge = options(Numerics::fast);
  huge.context = 2'000'000'000;
  const auto result = WgpuModel::load(loaded.weights, huge);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::model_load);
  EXPECT_NE(to_string(result.error()).find("--ctx"), std::string::npos) << to_string(result.error());
  EXPECT_NE(result.error().expected.find("positions"), std::string::npos) << to_string(result.error());
}

TEST_F(OnDevice, AnUnknownAdapterIsUnavailable) {
  const LoadedModel loaded(tiny_paths().front());
  WgpuOptions wrong = options(Numerics::fast);
  wrong.device = "no such adapter";
  const auto result = WgpuModel::load(loaded.weights, wrong);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::backend_unavailable);
}

// Values of the first layer are near 10^6, which f16 does not have; W_o takes them back to where they were.
TEST_F(OnDevice, ValuesBeyondF16GiveTheReferencesLogitsAndBlameNoKernel) {
  LoadedModel loaded(models_dir + "tiny/tiny-BF16.gguf");
  model::LayerWeights& first = loaded.weights.layers.front();
  const auto values = scale_weight(first.attn_v, 0x1p20f), output = scale_weight(first.attn_output, 0x1p-20f);
  const std::vector<std::int32_t> tokens = sample_tokens(5, loaded.weights.config.vocab_size);
  ThreadPool pool(2);
  reference::Sequence sequence;
  const auto expected = reference::Model(loaded.weights).forward(sequence, tokens, true, pool, nullptr);
  ASSERT_TRUE(expected) << to_string(expected.error());

  Runner runner(loaded, options(Numerics::fast));
  EXPECT_TRUE(runner.model->describe().switched_off.empty());
  const Difference difference = compare(runner.run(tokens, 2), *expected);
  EXPECT_TRUE(difference.cosine >= 0.999) << difference.cosine;
}

}  // namespace
}  // namespace trine::test
