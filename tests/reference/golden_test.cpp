// The reference against Hugging Face transformers: every model, every case.

#include "golden.h"
#include "recorder.h"
#include "reference/model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

namespace trine::reference {
namespace {

using model::Stage;

struct Difference {
  double cosine = 0;
  double max_abs = 0;
  double l2 = 0;
  double expected_max = 0;
  double expected_l2 = 0;
};

Difference compare(std::span<const float> actual, std::span<const float> expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double aa = 0, ee = 0, ae = 0, dd = 0;
  Difference result;
  for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    const double a = actual[i], e = expected[i];
    aa += a * a;
    ee += e * e;
    ae += a * e;
    dd += (a - e) * (a - e);
    if (!(std::abs(a - e) <= result.max_abs)) result.max_abs = std::abs(a - e);  // keeps a NaN
    result.expected_max = std::max(result.expected_max, std::abs(e));
  }
  result.cosine = ae / std::sqrt(aa * ee);
  result.l2 = std::sqrt(dd);
  result.expected_l2 = std::sqrt(ee);
  return result;
}

std::int32_t argmax(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::set<int> set_of(std::span<const float> ids) {
  std::set<int> set;
  for (float id : ids) set.insert(static_cast<int>(id));
  return set;
}

class Golden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto loaded = load_model(gguf::File::open(model_path(GetParam())));
    ASSERT_TRUE(loaded) << to_string(loaded.error());
    loaded_ = *std::move(loaded);
    auto cases = read_golden(GetParam());
    ASSERT_TRUE(cases) << to_string(cases.error());
    cases_ = *std::move(cases);
    ASSERT_GE(cases_.size(), 8u);
  }

  std::unique_ptr<LoadedModel> loaded_;
  std::vector<GoldenCase> cases_;
  ThreadPool pool_{1};  // ctest runs several of these side by side
};

TEST_P(Golden, LogitsHiddenStatesAndExpertsOfThePrompt) {
  const Model model(loaded_->weights);
  const int n_layers = loaded_->weights.config.n_layers;
  double worst_cosine = 1, worst_ratio = 0, worst_hidden = 0;
  for (std::size_t c = 0; c < cases_.size(); ++c) {
    SCOPED_TRACE(fmt::format("case {}", c));
    const GoldenCase& golden = cases_[c];
    Sequence sequence;
    Recorder trace;
    const auto logits = model.forward(sequence, golden.tokens, true, pool_, &trace);
    ASSERT_TRUE(logits) << to_string(logits.error());

    const Difference last = compare(trace.at(Stage::logits).last_row(), golden.logits_last);
    EXPECT_TRUE(last.cosine >= 0.999999) << last.cosine;
    EXPECT_TRUE(last.max_abs <= 1e-3 * last.expected_max) << last.max_abs << " of " << last.expected_max;
    worst_cosine = std::min(worst_cosine, last.cosine);
    worst_ratio = std::max(worst_ratio, last.max_abs / last.expected_max);

    // transformers sums in fp32: a dot product of n terms is off by about sqrt(n)·2^-24 of its size, at
    // most 1.4e-6 here (n <= 512), and a value has passed at most 6 of them in each of 8 layers, whose errors
    // add like a random walk: sqrt(48)·1.4e-6 = 1e-5. On top comes the rounding of the golden file, at most
    // half a step per value.
    ASSERT_EQ(golden.hidden_last.size(), static_cast<std::size_t>(n_layers) + 1);
    for (int i = 0; i <= n_layers; ++i) {
      const auto& expected = golden.hidden_last[static_cast<std::size_t>(i)];
      const auto& actual = i == 0          ? trace.at(Stage::embed)
                           : i == n_layers ? trace.at(Stage::final_norm)
                                           : trace.at(Stage::layer_out, i - 1);
      const Difference hidden = compare(actual.last_row(), expected);
      const double rounding = golden_rounding * std::sqrt(static_cast<double>(expected.size()));
      EXPECT_TRUE(hidden.l2 <= rounding + 1e-5 * hidden.expected_l2)
          << "hidden state " << i << ": " << hidden.l2;
      worst_hidden = std::max(worst_hidden, hidden.l2 / hidden.expected_l2);
    }

    ASSERT_EQ(golden.experts_last.size(), static_cast<std::size_t>(n_layers));
    for (int layer = 0; layer < n_layers; ++layer) {
      const auto& expected = golden.experts_last[static_cast<std::size_t>(layer)];
      EXPECT_EQ(set_of(trace.at(Stage::expert_ids, layer).last_row()),
                std::set<int>(expected.begin(), expected.end()))
          << "layer " << layer;
    }

    ASSERT_EQ(golden.argmax_all.size(), golden.tokens.size());
    for (std::size_t t = 0; t < golden.tokens.size(); ++t)
      EXPECT_EQ(argmax(trace.at(Stage::logits).row(static_cast<std::int64_t>(t))), golden.argmax_all[t])
          << "position " << t;
  }
  fmt::print("{}: 1 - cosine {:.1e}, logits max|d|/max {:.1e}, hidden relative L2 {:.1e}\n", GetParam(),
             1 - worst_cosine, worst_ratio, worst_hidden);
}

// Token by token, without a rule for ties: no continuation needs one.
TEST_P(Golden, GreedyContinuation) {
  const Model model(loaded_->weights);
  for (std::size_t c = 0; c < cases_.size(); ++c) {
    SCOPED_TRACE(fmt::format("case {}", c));
    Sequence sequence;
    std::vector<std::int32_t> next = cases_[c].tokens;
    std::vector<std::int32_t> greedy;
    while (greedy.size() < 48) {
      const auto logits = model.forward(sequence, next, false, pool_, nullptr);
      ASSERT_TRUE(logits) << to_string(logits.error());
      next = {argmax(*logits)};
      greedy.push_back(next[0]);
    }
    EXPECT_EQ(greedy, cases_[c].greedy);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::ValuesIn(golden_models), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

TEST(GoldenModels, NoModelIsForgotten) {
  std::set<std::string> listed, present;
  for (const char* name : golden_models) listed.insert(std::filesystem::path(model_path(name)).filename());
  for (const char* folder : {"/models", "/models/tiny"})
    for (const auto& entry : std::filesystem::directory_iterator(std::string(TRINE_SOURCE_DIR) + folder))
      if (entry.path().extension() == ".gguf") present.insert(entry.path().filename());
  EXPECT_EQ(listed, present);
}

}  // namespace
}  // namespace trine::reference
