// What must hold of the reference whatever the weights: shapes, errors, invariants of the router, and that
// threads, batches and tracing change no bit.

#include "reference/model.h"

#include "golden.h"
#include "recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

namespace trine::reference {
namespace {

using model::Stage;

// Two layers, experts 3 of 4, mixed block types, no output matrix.
constexpr const char* tied_model = "tiny/tied-Q4_K_M";

std::vector<std::int32_t> some_tokens(int n) {
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * 131 + 7) % 509);
  return tokens;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class ReferenceModel : public testing::Test {
 protected:
  void SetUp() override { use(load_model(gguf::File::open(model_path(tied_model)))); }

  void use(Result<std::unique_ptr<LoadedModel>> loaded) {
    ASSERT_TRUE(loaded) << to_string(loaded.error());
    loaded_ = *std::move(loaded);
    model_.emplace(loaded_->weights);
  }

  // The same model with the router of every layer rewritten: edit(expert, column, value).
  void use_with_router(const std::function<float(int, int, float)>& edit) {
    auto bytes = read_file(model_path(tied_model));
    ASSERT_TRUE(bytes);
    bytes_ = *std::move(bytes);
    for (const model::LayerWeights& layer : loaded_->weights.layers)
      for (std::int64_t i = 0; i < layer.router.rows * layer.router.columns; ++i) {
        char* at = bytes_.data() + layer.router.tensor->offset + 4 * i;
        float value = 0;
        std::memcpy(&value, at, 4);
        value = edit(static_cast<int>(i / layer.router.columns), static_cast<int>(i % layer.router.columns),
                     value);
        std::memcpy(at, &value, 4);
      }
    use(load_model(gguf::File::parse(std::as_bytes(std::span(bytes_)), "edited")));
  }

  std::vector<float> run(Sequence& sequence, std::span<const std::int32_t> tokens, int threads = 1,
                         model::TraceSink* trace = nullptr) {
    ThreadPool pool(threads);
    auto logits = model_->forward(sequence, tokens, true, pool, trace);
    EXPECT_TRUE(logits) << to_string(logits.error());
    return logits ? *std::move(logits) : std::vector<float>();
  }

  const model::Config& config() const { return loaded_->weights.config; }

  std::string bytes_;
  std::unique_ptr<LoadedModel> loaded_;
  std::optional<Model> model_;
};

TEST_F(ReferenceModel, ProducesEveryStageInOrderWithItsShape) {
  Recorder trace;
  Sequence sequence;
  const std::vector<std::int32_t> tokens = some_tokens(5);
  run(sequence, tokens, 1, &trace);
  const std::int64_t h = config().hidden_size, q = config().q_size(), kv = config().kv_size();
  const std::int64_t k = config().experts_per_token, f = config().expert_ffn_size;
  using Shape = std::pair<Stage, std::int64_t>;
  const std::vector<Shape> per_layer = {{Stage::attn_norm, h},
                                        {Stage::qkv, q + 2 * kv},
                                        {Stage::qk_norm_rope, q + kv},
                                        {Stage::attention, q},
                                        {Stage::attn_out, h},
                                        {Stage::ffn_norm, h},
                                        {Stage::router_logits, config().n_experts},
                                        {Stage::expert_ids, k},
                                        {Stage::expert_weights, k},
                                        {Stage::expert_act, k * f},
                                        {Stage::moe_out, h},
                                        {Stage::layer_out, h}};
  std::vector<std::pair<Recorder::Key, std::int64_t>> expected = {{{-1, Stage::embed}, h}};
  for (int layer = 0; layer < config().n_layers; ++layer)
    for (const auto& [stage, width] : per_layer) expected.push_back({{layer, stage}, width});
  expected.push_back({{-1, Stage::final_norm}, h});
  expected.push_back({{-1, Stage::logits}, config().vocab_size});

  ASSERT_EQ(trace.order.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(trace.order[i], expected[i].first) << i;
    const Recorder::Values& values = trace.stages.at(trace.order[i]);
    EXPECT_EQ(values.width, expected[i].second) << i;
    EXPECT_EQ(values.rows, 5) << i;
    EXPECT_EQ(values.first_row, 0) << i;
    EXPECT_EQ(static_cast<std::int64_t>(values.data.size()), values.rows * values.width) << i;
    for (float value : values.data) ASSERT_TRUE(std::isfinite(value)) << i;
  }
  EXPECT_EQ(sequence.length, 5);
  for (int layer = 0; layer < config().n_layers; ++layer) {
    EXPECT_EQ(static_cast<std::int64_t>(sequence.keys[static_cast<std::size_t>(layer)].size()), 5 * kv);
    EXPECT_EQ(static_cast<std::int64_t>(sequence.values[static_cast<std::size_t>(layer)].size()), 5 * kv);
  }
}

TEST_F(ReferenceModel, ThreadsChangeNoBit) {
  Sequence one, two;
  Recorder trace_one, trace_two;
  EXPECT_TRUE(same_bits(run(one, some_tokens(33), 1, &trace_one), run(two, some_tokens(33), 2, &trace_two)));
  for (const auto& [key, values] : trace_one.stages)
    EXPECT_TRUE(same_bits(values.data, trace_two.stages.at(key).data))
        << name_of(key.second) << " " << key.first;
}

TEST_F(ReferenceModel, TracingChangesNoBit) {
  Sequence plain, traced;
  Recorder trace;
  EXPECT_TRUE(same_bits(run(plain, some_tokens(17)), run(traced, some_tokens(17), 1, &trace)));
  EXPECT_EQ(plain.keys, traced.keys);
  EXPECT_EQ(plain.values, traced.values);
}

// Every sum runs over one token's own numbers in the same order, so nothing depends on what else is in the
// batch.
TEST_F(ReferenceModel, TokenByTokenEqualsOneBatchBitForBit) {
  const std::vector<std::int32_t> tokens = some_tokens(33);
  Sequence whole, parts;
  const std::vector<float> expected = run(whole, tokens);
  std::vector<float> actual;
  for (std::size_t at = 0; at < tokens.size();) {
    const std::size_t n = at == 0 ? 4 : 1;
    const std::vector<float> logits = run(parts, std::span(tokens).subspan(at, n));
    actual.insert(actual.end(), logits.begin(), logits.end());
    at += n;
  }
  EXPECT_TRUE(same_bits(actual, expected));
  EXPECT_EQ(parts.keys, whole.keys);
  EXPECT_EQ(parts.values, whole.values);
  EXPECT_EQ(parts.length, whole.length);
}

TEST_F(ReferenceModel, LastLogitsAreTheLastRowOfAll) {
  const std::vector<std::int32_t> tokens = some_tokens(9);
  Sequence first, second;
  const std::vector<float> all = run(first, tokens);
  ThreadPool pool(1);
  Recorder trace;
  const auto last = model_->forward(second, tokens, false, pool, &trace);
  ASSERT_TRUE(last);
  EXPECT_TRUE(same_bits(*last, std::span(all).last(last->size())));
  EXPECT_EQ(static_cast<std::int32_t>(last->size()), config().vocab_size);
  EXPECT_EQ(trace.at(Stage::logits).first_row, 8);
  EXPECT_EQ(trace.at(Stage::logits).rows, 1);
}

TEST_F(ReferenceModel, EarlierPositionsDoNotSeeLaterTokens) {
  std::vector<std::int32_t> tokens = some_tokens(8);
  Sequence first, second;
  const std::vector<float> before = run(first, tokens);
  tokens.back() = 500;
  const std::vector<float> after = run(second, tokens);
  const auto unchanged = static_cast<std::size_t>(7 * config().vocab_size);
  EXPECT_TRUE(same_bits(std::span(before).first(unchanged), std::span(after).first(unchanged)));
  EXPECT_FALSE(same_bits(before, after));
}

// The chosen experts are those of the largest logits, and their weights are the softmax over the chosen
// alone, which is what renormalising the softmax over all comes to.
TEST_F(ReferenceModel, RouterChoosesTheLargestAndRenormalises) {
  Recorder trace;
  Sequence sequence;
  run(sequence, some_tokens(21), 1, &trace);
  for (int layer = 0; layer < config().n_layers; ++layer)
    for (std::int64_t t = 0; t < 21; ++t) {
      const auto logits = trace.at(Stage::router_logits, layer).row(t);
      const auto ids = trace.at(Stage::expert_ids, layer).row(t);
      const auto weights = trace.at(Stage::expert_weights, layer).row(t);
      std::vector<int> order(logits.size());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
      double sum = 0;
      for (std::size_t rank = 0; rank < ids.size(); ++rank)
        sum += std::exp(static_cast<double>(logits[order[rank]]));
      for (std::size_t rank = 0; rank < ids.size(); ++rank) {
        EXPECT_EQ(static_cast<int>(ids[rank]), order[rank]);
        EXPECT_NEAR(weights[rank], std::exp(static_cast<double>(logits[order[rank]])) / sum, 1e-7);
      }
    }
}

TEST_F(ReferenceModel, TiesGoToTheLowerExpertWithEqualWeights) {
  use_with_router([](int, int, float) { return 0.0f; });
  Recorder trace;
  Sequence sequence;
  run(sequence, some_tokens(3), 1, &trace);
  const auto ids = trace.at(Stage::expert_ids, 1).last_row();
  const auto weights = trace.at(Stage::expert_weights, 1).last_row();
  for (std::size_t rank = 0; rank < ids.size(); ++rank) {
    EXPECT_EQ(ids[rank], static_cast<float>(rank));
    EXPECT_FLOAT_EQ(weights[rank], 1.0f / static_cast<float>(ids.size()));
  }
}

TEST_F(ReferenceModel, HugeRouterLogitsStayFinite) {
  use_with_router([](int, int, float value) { return value * 1e6f; });
  Recorder trace;
  Sequence sequence;
  const std::vector<float> all = run(sequence, some_tokens(6), 1, &trace);
  float largest = 0;
  for (float logit : trace.at(Stage::router_logits, 0).data) largest = std::max(largest, std::abs(logit));
  EXPECT_GT(largest, 1000.0f);
  for (float logit : all) ASSERT_TRUE(std::isfinite(logit));
}

// Experts whose probability underflows have an order all the same: the one of their logits.
TEST_F(ReferenceModel, RouterChoosesByLogitsWhereProbabilitiesAreZero) {
  use_with_router([](int, int, float value) { return value * 1e7f; });
  Recorder trace;
  Sequence sequence;
  run(sequence, some_tokens(6), 1, &trace);
  const auto logits = trace.at(Stage::router_logits, 0).last_row();
  const auto ids = trace.at(Stage::expert_ids, 0).last_row();
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  ASSERT_GT(logits[order[0]] - logits[order[1]], 745.0f) << "else nothing underflows";
  for (std::size_t rank = 0; rank < ids.size(); ++rank) EXPECT_EQ(ids[rank], static_cast<float>(order[rank]));
}

// A router of NaNs is the file's fault and must not become an index out of range.
TEST_F(ReferenceModel, ANanInTheRouterReachesTheLogits) {
  use_with_router([](int, int, float) { return std::nanf(""); });
  Recorder trace;
  Sequence sequence;
  const std::vector<float> all = run(sequence, some_tokens(2), 1, &trace);
  for (float id : trace.at(Stage::expert_ids, 0).data) EXPECT_TRUE(id >= 0 && id < config().n_experts) << id;
  EXPECT_TRUE(std::isnan(all.back()));
}

TEST_F(ReferenceModel, RefusesWhatItCannotRunAndLeavesTheSequenceAlone) {
  ThreadPool pool(1);
  Sequence sequence;
  run(sequence, some_tokens(3));
  const auto refuse = [&](std::vector<std::int32_t> tokens, const char* actual) {
    const auto result = model_->forward(sequence, tokens, false, pool, nullptr);
    ASSERT_FALSE(result) << actual;
    EXPECT_EQ(result.error().code, ErrorCode::inference);
    EXPECT_EQ(result.error().actual, actual);
    EXPECT_EQ(sequence.length, 3);
    EXPECT_EQ(static_cast<std::int32_t>(sequence.keys[0].size()), 3 * config().kv_size());
  };
  refuse({}, "");
  refuse({1, -1}, "-1");
  refuse({1, config().vocab_size}, std::to_string(config().vocab_size).c_str());
  const int too_many = config().context_length - 2;
  refuse(some_tokens(too_many), std::to_string(too_many + 3).c_str());
}

// Parts of different lengths, one of them continued, with logits of some of their last tokens.
TEST_F(ReferenceModel, SequencesOfOnePassHaveTheBitsTheyHaveAlone) {
  const std::vector<std::int32_t> tokens = some_tokens(17);
  const std::span<const std::int32_t> all(tokens);
  const auto vocab = static_cast<std::size_t>(config().vocab_size);
  Sequence alone_a, alone_b, a, b;
  run(alone_a, all.first(4));
  run(a, all.first(4));
  Recorder trace_a, trace_b, trace;
  const std::vector<float> logits_a = run(alone_a, all.subspan(4, 6), 1, &trace_a);
  const std::vector<float> logits_b = run(alone_b, all.subspan(10, 7), 1, &trace_b);

  ThreadPool pool(2);
  const Part parts[] = {{&a, all.subspan(4, 6), 2}, {&b, all.subspan(10, 7), 3}};
  const auto logits = model_->forward(parts, pool, &trace);
  ASSERT_TRUE(logits) << to_string(logits.error());
  std::vector<float> expected(logits_a.end() - static_cast<std::ptrdiff_t>(2 * vocab), logits_a.end());
  expected.insert(expected.end(), logits_b.end() - static_cast<std::ptrdiff_t>(3 * vocab), logits_b.end());
  EXPECT_TRUE(same_bits(*logits, expected));
  EXPECT_EQ(a.keys, alone_a.keys);
  EXPECT_EQ(b.values, alone_b.values);
  EXPECT_EQ(a.length, 10);
  EXPECT_EQ(b.length, 7);
  for (const auto& [key, values] : trace.stages) {
    if (key.second == Stage::logits) continue;
    std::vector<float> joined = trace_a.stages.at(key).data;
    const std::vector<float>& second = trace_b.stages.at(key).data;
    joined.insert(joined.end(), second.begin(), second.end());
    EXPECT_TRUE(same_bits(values.data, joined)) << model::name_of(key.second) << " of layer " << key.first;
  }
}

TEST_F(ReferenceModel, RefusesLogitsOfTokensThatAreNotThere) {
  const std::vector<std::int32_t> tokens = some_tokens(2);
  Sequence sequence;
  ThreadPool pool(1);
  for (const std::int64_t wrong : {-1, 3}) {
    const Part part{&sequence, tokens, wrong};
    const auto logits = model_->forward(std::span(&part, 1), pool, nullptr);
    ASSERT_FALSE(logits);
    EXPECT_EQ(logits.error().code, ErrorCode::inference);
  }
  EXPECT_EQ(sequence.length, 0);
}

}  // namespace
}  // namespace trine::reference
