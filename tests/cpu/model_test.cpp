#include "cpu/model.h"

#include "cpu/device.h"
#include "cpu/kernels/kernels.h"
#include "cpu_fixture.h"
#include "fused_model.h"
#include "reference/model.h"
#include "temporary_file.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

namespace trine::test {
namespace {

using model::Numerics;
using model::Stage;

std::vector<std::string> all_models() {
  std::vector<std::string> paths = tiny_paths();
  paths.push_back(demo_path);
  return paths;
}

class CpuModelTest : public testing::TestWithParam<std::string> {
 protected:
  LoadedModel loaded{GetParam()};
  const model::Config& config = loaded.weights.config;
};

INSTANTIATE_TEST_SUITE_P(Models, CpuModelTest, testing::ValuesIn(all_models()),
                         [](const auto& info) { return test_name(info.param); });

// design of the gate: every stage of every layer within 1e-5 of the reference's direction and 2e-3 of its
// length.
TEST_P(CpuModelTest, ExactAgreesWithTheReferenceStageByStage) {
  const std::vector<std::int32_t> tokens = sample_tokens(23, config.vocab_size);
  TraceRecorder expected;
  ThreadPool pool(2);
  reference::Sequence sequence;
  const auto logits = reference::Model(loaded.weights).forward(sequence, tokens, true, pool, &expected);
  ASSERT_TRUE(logits) << to_string(logits.error());

  for (const cpu::IsaSupport& isa : cpu::list_isas()) {
    if (!isa.available) continue;
    model::LoadOptions exact = options(Numerics::exact);
    exact.device = isa.name;
    TraceRecorder actual;
    CpuRunner runner(loaded, exact);
    runner.run(tokens, 512, &actual);

    ASSERT_EQ(actual.stages.size(), expected.stages.size());
    for (const auto& [key, values] : expected.stages) {
      const auto found = actual.stages.find(key);
      ASSERT_NE(found, actual.stages.end());
      const Difference difference = compare(found->second, values);
      EXPECT_TRUE(difference.cosine >= 0.99999 && difference.relative_l2 <= 2e-3)
          << isa.name << " " << model::name_of(key.first) << " layer " << key.second << ": cosine "
          << difference.cosine << ", relative L2 " << difference.relative_l2;
    }
  }
}

TEST_P(CpuModelTest, DecodeEqualsPrefill) {
  const std::vector<std::int32_t> tokens = sample_tokens(37, config.vocab_size, 3);
  const std::size_t vocab = static_cast<std::size_t>(config.vocab_size);
  for (const Numerics numerics : {Numerics::exact, Numerics::fast}) {
    const std::vector<float> prefill = CpuRunner(loaded, options(numerics)).run(tokens);
    for (const std::size_t slice : {1, 5, 16}) {
      const std::vector<float> sliced = CpuRunner(loaded, options(numerics)).run(tokens, slice);
      for (std::size_t row = 0; row < tokens.size(); ++row) {
        const auto one = [&](const std::vector<float>& all) {
          return std::span(all).subspan(row * vocab, vocab);
        };
        EXPECT_TRUE(compare(one(sliced), one(prefill)).cosine >= 0.9999)
            << "row " << row << ", slice " << slice;
      }
    }
  }
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_P(CpuModelTest, ThreadsRunsAndTracingChangeNoByte) {
  const std::vector<std::int32_t> tokens = sample_tokens(19, config.vocab_size, 5);
  for (const Numerics numerics : {Numerics::exact, Numerics::fast}) {
    const std::vector<float> one = CpuRunner(loaded, options(numerics, 1)).run(tokens, 7);
    EXPECT_TRUE(same_bytes(CpuRunner(loaded, options(numerics, 1)).run(tokens, 7), one)) << "a second run";
    EXPECT_TRUE(same_bytes(CpuRunner(loaded, options(numerics, 2)).run(tokens, 7), one)) << "two threads";
    EXPECT_TRUE(same_bytes(CpuRunner(loaded, options(numerics, 3)).run(tokens, 7), one)) << "three threads";
    TraceRecorder trace;
    EXPECT_TRUE(same_bytes(CpuRunner(loaded, options(numerics, 2)).run(tokens, 7, &trace), one)) << "traced";
  }
}

nlohmann::json demo_golden() {
  std::ifstream file(models_dir + "demo-coder-Q4_K_M.golden.json");
  return nlohmann::json::parse(file);
}

// The largest router-logit error of one row, and the reference's margin between its k-th and next logit.
struct RouterRow {
  double error = 0;
  double margin = 0;
  bool swapped = false;
};

std::vector<RouterRow> compare_routers(const TraceRecorder& actual, const TraceRecorder& expected, int layer,
                                       const model::Config& config) {
  const auto n_experts = static_cast<std::size_t>(config.n_experts);
  const auto k = static_cast<std::size_t>(config.experts_per_token);
  const auto rows_of = [&](const TraceRecorder& trace, Stage stage) {
    return trace.stages.at({stage, layer});
  };
  const std::vector<float> a = rows_of(actual, Stage::router_logits),
                           e = rows_of(expected, Stage::router_logits);
  const std::vector<float> ids_a = rows_of(actual, Stage::expert_ids),
                           ids_e = rows_of(expected, Stage::expert_ids);
  std::vector<RouterRow> rows(a.size() / n_experts);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::vector<float> sorted(e.begin() + r * n_experts, e.begin() + (r + 1) * n_experts);
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    rows[r].margin = sorted[k - 1] - sorted[k];
    for (std::size_t i = r * n_experts; i < (r + 1) * n_experts; ++i)
      rows[r].error = std::max(rows[r].error, std::abs(double(a[i]) - e[i]));
    const auto set = [&](const std::vector<float>& ids) {
      return std::set<float>(ids.begin() + r * k, ids.begin() + (r + 1) * k);
    };
    rows[r].swapped = set(ids_a) != set(ids_e);
  }
  return rows;
}

// 8-bit activations perturb router logits by a fraction of a percent. Where two experts are closer than that,
// either choice is right to within the arithmetic, and the row's own logits then differ by a whole expert.
// So: every row without such a near-tie must agree to 0.999, and so must the golden's own positions; a choice
// may differ only if its margin is within four times the layer's median error, which a swap itself cannot
// inflate; near-ties must stay rare.
TEST(CpuDemo, FastLogitsStayCloseToTheReference) {
  const LoadedModel loaded(demo_path);
  const model::Config& config = loaded.weights.config;
  ThreadPool pool(2);
  const std::size_t vocab = static_cast<std::size_t>(config.vocab_size);
  const nlohmann::json golden = demo_golden();
  std::size_t rows = 0, close_rows = 0;
  for (const auto& item : golden["cases"]) {
    const auto tokens = item["tokens"].get<std::vector<std::int32_t>>();
    reference::Sequence sequence;
    TraceRecorder expected_trace, actual_trace;
    const auto expected =
        reference::Model(loaded.weights).forward(sequence, tokens, true, pool, &expected_trace);
    ASSERT_TRUE(expected);
    const std::vector<float> actual =
        CpuRunner(loaded, options(Numerics::fast)).run(tokens, 512, &actual_trace);

    std::vector<bool> swapped(tokens.size(), false);
    for (int layer = 0; layer < config.n_layers; ++layer) {
      const std::vector<RouterRow> routers = compare_routers(actual_trace, expected_trace, layer, config);
      std::vector<double> errors;
      for (const RouterRow& router : routers) errors.push_back(router.error);
      std::nth_element(errors.begin(), errors.begin() + errors.size() / 2, errors.end());
      const double typical = errors[errors.size() / 2];
      for (std::size_t r = 0; r < routers.size(); ++r) {
        if (!routers[r].swapped) continue;
        // Once swapped, a row's later choices follow another residual stream: only its first swap is judged.
        if (!swapped[r]) {
          EXPECT_TRUE(routers[r].margin <= 4 * typical)
              << item["text"] << " row " << r << " layer " << layer << ": margin " << routers[r].margin
              << ", typical error " << typical;
        }
        swapped[r] = true;
      }
    }
    rows += tokens.size();
    const auto first_swap =
        static_cast<std::size_t>(std::find(swapped.begin(), swapped.end(), true) - swapped.begin());
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      const Difference difference = compare(std::span(actual).subspan(row * vocab, vocab),
                                            std::span(*expected).subspan(row * vocab, vocab));
      const bool close = difference.cosine >= 0.999;
      close_rows += close;
      if (row < first_swap || row + 1 == tokens.size()) {
        EXPECT_TRUE(close) << item["text"] << " row " << row << ": " << difference.cosine;
      }
    }
  }
  EXPECT_TRUE(close_rows >= rows - rows / 10) << close_rows << " of " << rows;
  RecordProperty("close_rows", static_cast<int>(close_rows));
  RecordProperty("rows", static_cast<int>(rows));
}

TEST(CpuDemo, ExactGreedyTokensEqualTransformers) {
  const LoadedModel loaded(demo_path);
  const std::size_t vocab = static_cast<std::size_t>(loaded.weights.config.vocab_size);
  const nlohmann::json golden = demo_golden();
  for (const auto& item : golden["cases"]) {
    CpuRunner runner(loaded, options(Numerics::exact));
    std::vector<float> logits = runner.run(item["tokens"].get<std::vector<std::int32_t>>());
    std::vector<std::int32_t> greedy;
    while (greedy.size() < item["greedy"].size()) {
      greedy.push_back(argmax(std::span(logits).last(vocab)));
      logits = runner.run({greedy.back()});
    }
    EXPECT_EQ(greedy, item["greedy"].get<std::vector<std::int32_t>>()) << item["text"];
  }
}

// Rows of several sequences in one batch, on scattered pages, give what each sequence gives alone.
TEST(CpuBatch, SequencesDoNotSeeEachOther) {
  const LoadedModel loaded(demo_path);
  const std::size_t vocab = static_cast<std::size_t>(loaded.weights.config.vocab_size);
  const std::vector<std::int32_t> first = sample_tokens(70, loaded.weights.config.vocab_size, 7);
  const std::vector<std::int32_t> second = sample_tokens(66, loaded.weights.config.vocab_size, 8);
  const std::vector<float> alone_first = CpuRunner(loaded, options(Numerics::fast)).run(first);
  const std::vector<float> alone_second = CpuRunner(loaded, options(Numerics::fast)).run(second);

  const auto model = value_of(cpu::CpuModel::load(loaded.weights, options(Numerics::fast)));
  const model::OpenSlot a = value_of(model::OpenSlot::open(*model)),
                        b = value_of(model::OpenSlot::open(*model));
  ASSERT_TRUE(model->set_pages(a.id(), {6, 1}, 0));
  ASSERT_TRUE(model->set_pages(b.id(), {0, 5}, 0));
  const auto wants = [](bool last) { return last ? model::Wants::logits : model::Wants::nothing; };
  model::Step step;
  for (std::size_t i = 0; i < first.size(); ++i) {  // interleaved
    step.rows.push_back({first[i], static_cast<std::int32_t>(i), a.id(), wants(i + 1 == first.size())});
    if (i < second.size())
      step.rows.push_back({second[i], static_cast<std::int32_t>(i), b.id(), wants(i + 1 == second.size())});
  }
  // The second sequence is shorter: its last row comes first.
  const std::vector<float> logits = value_of(model->run(step)).logits;
  ASSERT_EQ(logits.size(), 2 * vocab);
  EXPECT_TRUE(compare(std::span(logits).first(vocab), std::span(alone_second).last(vocab)).cosine >=
              0.999999);
  EXPECT_TRUE(compare(std::span(logits).last(vocab), std::span(alone_first).last(vocab)).cosine >= 0.999999);
}

// Tokens are chosen from the logits of the same rows, in slots with rules of their own.
TEST(CpuBatch, ChoosesTokensByTheSampler) {
  const LoadedModel loaded(demo_path);
  const auto model = value_of(cpu::CpuModel::load(loaded.weights, options(Numerics::fast)));
  const std::vector<std::int32_t> prompt = sample_tokens(9, loaded.weights.config.vocab_size, 4);
  const std::size_t vocab = static_cast<std::size_t>(loaded.weights.config.vocab_size);
  const std::vector<sampling::SamplingParams> rules = {
      {.temperature = 0},
      {.temperature = 0.7f, .top_k = 20, .top_p = 0.8f, .repeat_penalty = 1.3f, .seed = 5},
      {.temperature = 1.5f, .presence_penalty = 1, .frequency_penalty = 0.5f, .seed = 6}};
  std::vector<model::OpenSlot> slots;
  std::vector<sampling::Sampler> samplers;
  for (std::size_t s = 0; s < rules.size(); ++s) {
    slots.push_back(value_of(model::OpenSlot::open(*model, {rules[s], prompt})));
    ASSERT_TRUE(model->set_pages(slots[s].id(), {static_cast<std::int32_t>(s)}, 0));
    samplers.emplace_back(rules[s]);
    samplers[s].accept_prompt(prompt);
  }
  for (std::int32_t index = 0; index < 12; ++index) {
    model::Step step;
    for (const model::OpenSlot& slot : slots) {
      if (index == 0) {
        const model::Step first = rows_of(prompt, 0, slot.id(), model::Wants::nothing);
        step.rows.insert(step.rows.end(), first.rows.begin(), first.rows.end());
      } else {
        step.rows.push_back({model::last_choice, model->length_of(slot.id()), slot.id()});
      }
      step.rows.back().wants = model::Wants::both;
    }
    const model::StepOutput output = value_of(model->run(step));
    for (std::size_t s = 0; s < slots.size(); ++s)
      EXPECT_EQ(output.tokens[s],
                value_of(samplers[s].sample(std::span(output.logits).subspan(s * vocab, vocab))));
  }
}

// Lazy: overwriting every expert that was not chosen with NaN scales changes no byte.
TEST(CpuExperts, OnlyChosenExpertsAreRead) {
  const LoadedModel loaded(demo_path);
  const std::vector<std::int32_t> tokens = {42};
  TraceRecorder trace;
  const std::vector<float> expected = CpuRunner(loaded, options(Numerics::fast)).run(tokens, 1, &trace);

  std::ifstream stream(demo_path, std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  const char* base = bytes.data();
  std::size_t poisoned = 0;
  for (int layer = 0; layer < loaded.weights.config.n_layers; ++layer) {
    const std::vector<float>& ids = trace.stages.at({Stage::expert_ids, layer});
    const model::LayerWeights& w = loaded.weights.layers[static_cast<std::size_t>(layer)];
    for (const model::Weight* weight : {&w.expert_gate, &w.expert_up, &w.expert_down}) {
      for (std::int64_t expert = 0; expert < weight->experts; ++expert) {
        if (std::find(ids.begin(), ids.end(), static_cast<float>(expert)) != ids.end()) continue;
        const std::uint64_t offset =
            weight->tensor->offset + static_cast<std::uint64_t>(expert) * weight->expert_bytes();
        std::memset(const_cast<char*>(base) + offset, 0xff, weight->expert_bytes());
        ++poisoned;
      }
    }
  }
  ASSERT_EQ(poisoned, 8u * 3u * 6u);  // 6 of 8 experts in 8 layers

  auto parsed = gguf::File::parse(std::as_bytes(std::span(bytes)), "poisoned");
  ASSERT_TRUE(parsed) << to_string(parsed.error());
  LoadedModel changed(demo_path);
  *changed.file = *std::move(parsed);
  auto weights = model::load_weights(*changed.file);
  ASSERT_TRUE(weights) << to_string(weights.error());
  changed.weights = *std::move(weights);
  EXPECT_TRUE(same_bytes(CpuRunner(changed, options(Numerics::fast)).run(tokens), expected));
}

// Fused tensors and a router of another type are other places for the same numbers.
TEST(CpuExperts, FusedTensorsGiveTheSameBits) {
  for (const std::string name : {"tiny/tiny-Q8_0.gguf", "tiny/tiny-F16.gguf"}) {
    const LoadedModel apart(models_dir + name);
    EditedModel edited(models_dir + name);
    fuse_all(edited, 1, 4);
    const TemporaryFile file("", ".gguf");
    edited.write(file.path());
    const LoadedModel fused(file.path());
    const std::vector<std::int32_t> tokens = {1, 2, 300, 4, 5, 6, 7, 8, 9, 10, 11, 12, 500, 14};
    for (const Numerics numerics : {Numerics::exact, Numerics::fast}) {
      CpuRunner a(apart, options(numerics)), b(fused, options(numerics));
      EXPECT_EQ(a.run(tokens, 9), b.run(tokens, 9)) << name;
    }
  }
}

TEST(CpuModelLoad, UnknownInstructionSetIsUnavailable) {
  const LoadedModel loaded(tiny_paths().front());
  model::LoadOptions wrong = options(Numerics::fast);
  wrong.device = "sse9";
  const auto result = cpu::CpuModel::load(loaded.weights, wrong);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::backend_unavailable);
  EXPECT_NE(to_string(result.error()).find("portable"), std::string::npos);
}

// For the tests of one process: what was set before comes back.
class CpuOfEnvironment {
 public:
  explicit CpuOfEnvironment(const char* isa) { ::setenv(variable, isa, 1); }
  ~CpuOfEnvironment() {
    if (before_) {
      ::setenv(variable, before_->c_str(), 1);
    } else {
      ::unsetenv(variable);
    }
  }
  CpuOfEnvironment(const CpuOfEnvironment&) = delete;
  CpuOfEnvironment& operator=(const CpuOfEnvironment&) = delete;

 private:
  static constexpr const char* variable = "TRINE_CPU";
  static std::optional<std::string> value() {
    const char* text = std::getenv(variable);
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
  }
  std::optional<std::string> before_ = value();
};

TEST(CpuModelLoad, TheEnvironmentNamesAnInstructionSet) {
  const LoadedModel loaded(tiny_paths().front());
  const auto api_of = [&](const std::string& device) {
    model::LoadOptions asked = options(Numerics::fast);
    asked.device = device;
    return CpuRunner(loaded, asked).model->describe().api;
  };
  const CpuOfEnvironment portable("portable");
  EXPECT_EQ(api_of(""), "portable");
  for (const cpu::IsaSupport& isa : cpu::list_isas()) {
    if (!isa.available) continue;
    EXPECT_EQ(api_of(isa.name), isa.name) << "--device comes first";
  }
  {
    const CpuOfEnvironment empty("");
    EXPECT_EQ(api_of(""), cpu::find_kernels("")->isa);
  }
  const CpuOfEnvironment unknown("sse9");
  const auto result = cpu::CpuModel::load(loaded.weights, options(Numerics::fast));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::backend_unavailable);
  EXPECT_EQ(result.error().where, "TRINE_CPU");
  EXPECT_NE(to_string(result.error()).find("'sse9'"), std::string::npos);
  EXPECT_TRUE(cpu::CpuModel::check_device("portable")) << "nobody asks the environment then";
}

// Each against the reference, on prompts of more than a page. q8_0 and bf16 keep 8 bits of what f16 keeps 11
// of.
TEST(CpuModelLoad, KeepsKeysAndValuesAsAsked) {
  const LoadedModel loaded(demo_path);
  const std::vector<std::int32_t> tokens = sample_tokens(90, loaded.weights.config.vocab_size, 11);
  ThreadPool pool(2);
  reference::Sequence sequence;
  const auto expected = reference::Model(loaded.weights).forward(sequence, tokens, false, pool, nullptr);
  ASSERT_TRUE(expected);
  for (const model::KvType type : model::all_kv_types) {
    model::LoadOptions asked = options(Numerics::fast);
    asked.kv_type = type;
    CpuRunner runner(loaded, asked);
    EXPECT_EQ(runner.model->describe().kv_type, type);
    const std::vector<float> all = runner.run(tokens);
    const Difference difference = compare(std::span(all).last(expected->size()), *expected);
    EXPECT_TRUE(difference.cosine >= 0.995) << name_of(type) << ": " << difference.cosine;
  }
  model::LoadOptions exact = options(Numerics::exact);
  exact.kv_type = model::KvType::bf16;
  const auto refused = cpu::CpuModel::load(loaded.weights, exact);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::usage);
}

TEST(CpuModelLoad, HasNothingToLeaveOut) {
  const LoadedModel loaded(tiny_paths().front());
  model::LoadOptions wrong = options(Numerics::fast);
  wrong.without = {"subgroups"};
  const auto result = cpu::CpuModel::load(loaded.weights, wrong);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::usage);
  EXPECT_EQ(result.error().actual, "subgroups");
}

TEST(CpuModelLoad, AContextThatDoesNotFitIsRefusedWithItsSize) {
  const LoadedModel loaded(demo_path);
  model::LoadOptions huge = options(Numerics::fast);
  huge.context = 2'000'000'000;
  const auto result = cpu::CpuModel::load(loaded.weights, huge);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::model_load);
  EXPECT_NE(to_string(result.error()).find("GiB"), std::string::npos);
}

TEST(CpuModelLoad, DescribesItsDevice) {
  const LoadedModel loaded(tiny_paths().front());
  model::LoadOptions portable = options(Numerics::exact, 1);
  portable.device = "portable";
  const CpuRunner runner(loaded, portable);
  const model::DeviceInfo info = runner.model->describe();
  EXPECT_EQ(info.backend, "cpu");
  EXPECT_EQ(info.type, "cpu");
  EXPECT_EQ(info.api, "portable");
  EXPECT_EQ(info.threads, 1);
  EXPECT_EQ(info.numerics, Numerics::exact);
  EXPECT_EQ(info.kv_type, model::KvType::f32);
  EXPECT_FALSE(info.name.empty());
  EXPECT_FALSE(runner.model->memory_use()) << "weights stay in the file's mapping";
}

TEST(CpuModelLoad, SaysWhereAStageRanOnceItWasTraced) {
  const LoadedModel loaded(tiny_paths().front());
  CpuRunner runner(loaded, options(Numerics::exact, 1));
  runner.run({1, 2});
  for (const std::string& place : runner.model->describe().stage_place) EXPECT_EQ(place, "");
  TraceRecorder trace;
  runner.run({3}, 256, &trace);
  for (const std::string& place : runner.model->describe().stage_place) EXPECT_EQ(place, "device");
}

}  // namespace
}  // namespace trine::test
