#include "wgpu/token_stream.h"

#include "compare.h"
#include "engine/generate.h"
#include "loaded_model.h"
#include "wgpu/model.h"
#include "wgpu_fixture.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

namespace trine::test {
namespace {

using model::Numerics;
using model::StreamRequest;
using model::TokenStream;
using wgpu::must;
using wgpu::WgpuModel;

using Tokens = std::vector<std::int32_t>;

// One sequence on a model, one row at a time; its pages are in falling order.
class Runner {
 public:
  Runner(const model::Weights& weights, Numerics numerics, std::int32_t context = 256) {
    wgpu::WgpuOptions options;
    options.device = wgpu::first_adapter;
    options.context = context;
    options.numerics = numerics;
    options.threads = 2;
    options.checked_shaders = true;
    auto loaded = WgpuModel::load(weights, options);
    if (!loaded) throw std::runtime_error(to_string(loaded.error()));
    model = *std::move(loaded);
    pages.resize(static_cast<std::size_t>(model->kv_pages()));
    std::iota(pages.rbegin(), pages.rend(), 0);
  }

  // The device gets to know the pages so far, and no later ones.
  std::vector<float> logits(std::int32_t token) {
    std::vector<float> values(static_cast<std::size_t>(model->config().vocab_size));
    const std::vector<std::int32_t> so_far(pages.begin(),
                                           pages.begin() + position / model->kv_page_size() + 1);
    must(model->forward({{{token, position++, 0, true}}, {so_far}}, values, nullptr));
    return values;
  }
  // Runs all; gives the logits of the last.
  std::vector<float> logits(const Tokens& tokens) {
    std::vector<float> last;
    for (const std::int32_t token : tokens) last = logits(token);
    return last;
  }

  // A stream whose first token comes next in the sequence.
  StreamRequest request(std::int32_t token, std::int32_t steps) const {
    StreamRequest result;
    result.page_table = pages;
    result.token = token;
    result.position = position;
    result.steps = steps;
    return result;
  }
  // `n` tokens of a stream, which is ended then.
  Tokens stream(const StreamRequest& request, int n) {
    const std::unique_ptr<TokenStream> stream = must(model->decode_stream(request));
    Tokens tokens;
    for (int i = 0; stream != nullptr && i < n; ++i) tokens.push_back(must(stream->next()));
    position += n;
    return tokens;
  }

  std::unique_ptr<WgpuModel> model;
  std::vector<std::int32_t> pages;
  std::int32_t position = 0;
};

// The tokenizer of a file.
std::unique_ptr<text::Tokenizer> tokenizer_of(const gguf::Metadata& metadata) {
  auto made = text::Tokenizer::from_gguf(metadata);
  if (!made) throw std::runtime_error(to_string(made.error()));
  return std::make_unique<text::Tokenizer>(*std::move(made));
}

Tokens sample_tokens(std::size_t n, std::int32_t vocab) {
  Tokens tokens;
  for (std::uint32_t seed = 7; tokens.size() < n;) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<std::int32_t>((seed >> 8) % static_cast<std::uint32_t>(vocab)));
  }
  return tokens;
}

class TokenStreams : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  }

  // Logits of "tied" are far apart, those of the others close together.
  void start(const std::string& tiny, std::size_t prompt_length = 20) {
    loaded = std::make_unique<LoadedModel>(models_dir + "tiny/" + tiny + ".gguf");
    runner = std::make_unique<Runner>(loaded->weights, Numerics::fast);
    prompt = sample_tokens(prompt_length, loaded->weights.config.vocab_size);
  }

  std::unique_ptr<LoadedModel> loaded;
  std::unique_ptr<Runner> runner;
  Tokens prompt;
};

// Through position 128, from where attention takes its positions in several chunks.
TEST_F(TokenStreams, GreedyTokensAreTheLargestLogits) {
  for (const char* tiny : {"tied-Q4_K_M", "tiny-F16"}) {
    start(tiny, 120);
    std::int32_t token = argmax(runner->logits(prompt));
    const Tokens chosen = runner->stream(runner->request(token, 40), 40);
    runner->position = static_cast<std::int32_t>(prompt.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      token = argmax(runner->logits(token));
      ASSERT_EQ(chosen[i], token) << tiny << ", step " << i;
    }
  }
}

TEST_F(TokenStreams, GreedyTokensOfTheDemoEqualTransformers) {
  const LoadedModel demo(demo_path);
  const auto adapter = must(wgpu::choose_adapter(wgpu::first_adapter));
  const std::size_t cases = adapter.type == "software" ? 1 : 3;
  std::ifstream file(models_dir + "demo-coder-Q4_K_M.golden.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  Runner exact(demo.weights, Numerics::exact);
  ASSERT_GE(golden["cases"].size(), cases);
  for (std::size_t i = 0; i < cases; ++i) {
    const nlohmann::json& item = golden["cases"][i];
    const Tokens expected = item["greedy"];
    exact.position = 0;
    Tokens greedy = {argmax(exact.logits(item["tokens"].get<Tokens>()))};
    const int rest = static_cast<int>(expected.size()) - 1;
    const Tokens streamed = exact.stream(exact.request(greedy[0], rest), rest);
    greedy.insert(greedy.end(), streamed.begin(), streamed.end());
    EXPECT_EQ(greedy, expected) << item["text"];
  }
}

// The sampler, on logits that forward() gives for the same tokens.
TEST_F(TokenStreams, DrawsAreTheSamplers) {
  struct Setting {
    float temperature;
    std::int32_t top_k;
    float top_p, min_p;
    std::uint64_t seed;
    int draws;
  };
  const Setting settings[] = {
      {1.0f, 0, 1.0f, 0.0f, 1, 0},          {0.7f, 20, 0.8f, 0.0f, 0xfedcba9876543210, 3},
      {1.5f, 0, 1.0f, 0.2f, 42, 1},         {0.3f, 0, 0.9f, 0.0f, 5, 1},
      {2.0f, 1, 1.0f, 0.0f, 6, 1},          {0.8f, 5, 1.0f, 0.0f, 7, 1000},
      {1.0f, 1000000, 0.0f, 0.0f, 8, 1},    {100.0f, 0, 1.0f, 0.0f, 9, 2},
      {0.9f, 40, 0.95f, 0.05f, 1u << 31, 1}};
  start("tiny-F16", 5);
  std::size_t differ = 0;
  for (const Setting& s : settings) {
    sampling::SamplingParams params;
    params.temperature = s.temperature;
    params.top_k = s.top_k;
    params.top_p = s.top_p;
    params.min_p = s.min_p;
    params.seed = s.seed;
    sampling::Sampler sampler(params);
    const std::vector<float> flat(8, 0.0f);
    for (int i = 0; i < s.draws; ++i) must(sampler.sample(flat));
    ASSERT_EQ(sampler.draws(), static_cast<std::uint64_t>(s.draws));

    runner->position = 0;
    runner->logits(prompt);
    StreamRequest request = runner->request(3, 12);
    request.temperature = s.temperature;
    request.top_k = s.top_k;
    request.top_p = s.top_p;
    request.min_p = s.min_p;
    request.seed = s.seed;
    request.draws = sampler.draws();
    const Tokens chosen = runner->stream(request, 12);

    runner->position = static_cast<std::int32_t>(prompt.size());
    std::int32_t token = 3;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const std::vector<float> logits = runner->logits(token);
      token = must(sampler.sample(logits));
      ASSERT_EQ(chosen[i], token) << "temperature " << s.temperature << ", step " << i;
      differ += token != argmax(logits) ? 1 : 0;
    }
  }
  EXPECT_GT(differ, 20u);  // it was no greedy decoding
}

// Over position 64, where the next page begins.
TEST_F(TokenStreams, EndingEarlyLosesNothingAndRepeatsNothing) {
  start("tiny-F16", 60);
  const std::int32_t first = argmax(runner->logits(prompt));
  const std::int32_t begin = runner->position;
  const Tokens all = runner->stream(runner->request(first, 40), 40);
  Tokens run = prompt;
  run.push_back(first);
  run.insert(run.end(), all.begin(), all.end());

  for (const int taken : {0, 1, 5, 38}) {
    SCOPED_TRACE(taken);
    // On pages of another order, so that nothing of the runs before is of use.
    std::rotate(runner->pages.begin(), runner->pages.begin() + 1, runner->pages.end());
    runner->position = 0;
    runner->logits(prompt);
    const Tokens some = runner->stream(runner->request(first, 40), taken);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
    const std::vector<float> logits = runner->logits(taken == 0 ? first : some.back());
    EXPECT_EQ(argmax(logits), all[some.size()]);

    // The same logits, down to the byte, as in a sequence that knew no stream.
    runner->position = 0;
    const Tokens so_far(run.begin(), run.begin() + begin + 1 + taken);
    EXPECT_EQ(runner->logits(so_far), logits);

    const Tokens rest = runner->stream(runner->request(all[some.size()], 3), 1);
    EXPECT_EQ(rest[0], all[some.size() + 1]);
  }
}

TEST_F(TokenStreams, TheModelServesOneAtATime) {
  start("tied-Q4_K_M");
  runner->logits(prompt);
  std::vector<float> logits(static_cast<std::size_t>(loaded->weights.config.vocab_size));
  const model::Batch batch = {{{1, 0, 0, true}}, {runner->pages}};
  {
    const auto stream = must(runner->model->decode_stream(runner->request(1, 2)));
    const auto beside = runner->model->forward(batch, logits, nullptr);
    ASSERT_FALSE(beside);
    EXPECT_EQ(beside.error().code, ErrorCode::inference);
    const auto second = runner->model->decode_stream(runner->request(1, 2));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::inference);
    must(stream->next());
    must(stream->next());
    EXPECT_FALSE(stream->next());  // there were two
    EXPECT_EQ(stream->cost().steps, 2);
    EXPECT_GT(stream->cost().dispatches, 2u * 2 * loaded->weights.layers.size());
    EXPECT_GT(stream->cost().encode_seconds, 0);
    EXPECT_GT(stream->cost().wait_seconds, 0);
  }
  must(runner->model->forward(batch, logits, nullptr));
}

TEST_F(TokenStreams, WhatIsOutOfRangeIsRefusedAndTheModelStaysUsable) {
  start("tied-Q4_K_M");
  const auto code = [&](auto change) {
    StreamRequest request = runner->request(1, 4);
    change(request);
    const auto stream = runner->model->decode_stream(request);
    return stream ? ErrorCode{} : stream.error().code;
  };
  const std::int32_t end = runner->model->kv_pages() * runner->model->kv_page_size();
  EXPECT_EQ(code([](StreamRequest&) {}), ErrorCode{});
  EXPECT_EQ(code([&](StreamRequest& r) { r.position = end - 4; }), ErrorCode{});
  EXPECT_EQ(code([&](StreamRequest& r) { r.position = end - 3; }), ErrorCode::inference);
  EXPECT_EQ(code([](StreamRequest& r) { r.position = -1; }), ErrorCode::inference);
  EXPECT_EQ(code([](StreamRequest& r) { r.position = std::numeric_limits<std::int32_t>::max(); }),
            ErrorCode::inference);
  EXPECT_EQ(code([](StreamRequest& r) { r.steps = 0; }), ErrorCode::inference);
  EXPECT_EQ(code([](StreamRequest& r) { r.token = -1; }), ErrorCode::inference);
  EXPECT_EQ(code([](StreamRequest& r) { r.page_table[0] = 1000; }), ErrorCode::inference);
  EXPECT_EQ(code([](StreamRequest& r) { r.page_table.clear(); }), ErrorCode::inference);
  // A device may take it for 0, which is another request.
  StreamRequest subnormal = runner->request(1, 4);
  subnormal.temperature = 1e-40f;
  EXPECT_EQ(must(runner->model->decode_stream(subnormal)), nullptr);
  EXPECT_EQ(runner->logits(prompt).size(), static_cast<std::size_t>(loaded->weights.config.vocab_size));
}

// Counts the streams of the model below, or hides them, and the rows that go past them; one row a batch, so
// that a software adapter compiles half of the kernels.
class Watched final : public model::DeviceModel {
 public:
  explicit Watched(model::DeviceModel& below, bool hides = false) : below_(below), hides_(hides) {}
  const model::Config& config() const override { return below_.config(); }
  model::DeviceInfo describe() const override { return below_.describe(); }
  std::int32_t kv_page_size() const override { return below_.kv_page_size(); }
  std::int32_t kv_pages() const override { return below_.kv_pages(); }
  std::int32_t max_batch_rows() const override { return 1; }
  Result<void> forward(const model::Batch& batch, std::span<float> logits, model::TraceSink* sink) override {
    rows += batch.rows.size();
    return below_.forward(batch, logits, sink);
  }
  Result<std::unique_ptr<TokenStream>> decode_stream(const StreamRequest& request) override {
    if (hides_) return nullptr;
    ++streams;
    return below_.decode_stream(request);
  }
  std::size_t rows = 0;
  int streams = 0;

 private:
  model::DeviceModel& below_;
  const bool hides_;
};

// The same metadata, with another end token.
gguf::Metadata with_end_token(const gguf::Metadata& original, std::int32_t token) {
  constexpr std::string_view key = "tokenizer.ggml.eos_token_id";
  gguf::Metadata changed;
  changed.add(std::string(key), gguf::make_value(static_cast<std::uint32_t>(token)));
  for (const auto& [name, value] : original.entries()) changed.add(name, value);
  return changed;
}

// Ids of the tiny model read as the demo's: what is said makes no sense, and need not.
TEST_F(TokenStreams, GenerationIsTheSameWithAndWithoutOne) {
  start("tiny-F16", 5);
  const LoadedModel demo(demo_path);
  const auto tokenizer = tokenizer_of(demo.file->metadata());
  ASSERT_GE(tokenizer->vocab_size(), loaded->weights.config.vocab_size);
  Watched plain(*runner->model, true);
  Watched device(*runner->model);

  engine::GenerateRequest greedy;
  greedy.prompt = prompt;
  greedy.max_tokens = 24;
  greedy.sampling.temperature = 0;
  const engine::GenerateResult free_run = must(engine::generate(plain, *tokenizer, greedy));
  ASSERT_EQ(free_run.tokens.size(), 24u);

  struct Case {
    const char* what;
    engine::FinishReason finish;
    engine::GenerateRequest request;
    std::int32_t end_token = -1;  // another one than the file's
  };
  using engine::FinishReason;
  std::vector<Case> cases(5, {"max tokens", FinishReason::length, greedy});
  cases[1].what = "stop string", cases[1].finish = FinishReason::stop_string;
  cases[1].request.stop = {std::string(tokenizer->piece(free_run.tokens[12]))};
  cases[2].what = "end token", cases[2].finish = FinishReason::end_of_generation;
  cases[2].end_token = free_run.tokens[9];
  cases[3].what = "context", cases[3].finish = FinishReason::context_full;
  cases[3].request.max_tokens = -1, cases[3].request.context = 20;
  cases[4].what = "sampled";
  sampling::SamplingParams& sampling = cases[4].request.sampling;
  sampling.temperature = 0.9f, sampling.top_k = 40, sampling.top_p = 0.9f, sampling.min_p = 0.01f;
  sampling.seed = 11;

  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    std::unique_ptr<text::Tokenizer> other;
    if (one.end_token >= 0) {
      other = tokenizer_of(with_end_token(demo.file->metadata(), one.end_token));
    }
    const text::Tokenizer& used = other ? *other : *tokenizer;
    const engine::GenerateResult expected = must(engine::generate(plain, used, one.request));
    device.rows = 0;
    device.streams = 0;
    const engine::GenerateResult actual = must(engine::generate(device, used, one.request));
    EXPECT_EQ(device.streams, 1);
    EXPECT_EQ(device.rows, one.request.prompt.size());
    EXPECT_EQ(expected.finish, one.finish);
    EXPECT_EQ(actual.finish, one.finish);
    EXPECT_EQ(actual.tokens, expected.tokens);
    EXPECT_EQ(actual.text, expected.text);
  }

  // Ends behind the same token when cancelled at it.
  std::atomic<bool> cancel = false;
  engine::GenerateRequest cancelled = greedy;
  std::size_t shown = 0;
  cancelled.cancel = &cancel;
  cancelled.on_text = [&](std::string_view) { cancel = ++shown == 6; };
  const engine::GenerateResult expected = must(engine::generate(plain, *tokenizer, cancelled));
  cancel = false, shown = 0;
  const engine::GenerateResult actual = must(engine::generate(device, *tokenizer, cancelled));
  EXPECT_EQ(actual.finish, FinishReason::cancelled);
  EXPECT_EQ(actual.tokens, expected.tokens);
  EXPECT_LT(actual.tokens.size(), free_run.tokens.size());
}

// A token whose embedding is no number spoils the logits behind it, in the middle of a stream.
TEST_F(TokenStreams, LogitsThatAreNoNumbersEndItWithTheSamplersError) {
  start("tiny-F16", 6);
  model::Weights& weights = loaded->weights;
  ASSERT_FALSE(weights.tied);
  const std::int32_t first = argmax(runner->logits(prompt));
  Tokens healthy = runner->stream(runner->request(first, 8), 8);
  healthy.insert(healthy.begin(), first);
  // The first token that is new, after two of its kind that are not.
  const auto bad = std::find_if(healthy.begin() + 2, healthy.end(), [&](const std::int32_t& token) {
    const auto seen = [&](auto from, auto to) { return std::find(from, to, token) != to; };
    return !seen(healthy.cbegin(), healthy.cbegin() + (&token - healthy.data())) &&
           !seen(prompt.cbegin(), prompt.cend());
  });
  ASSERT_NE(bad, healthy.end());
  std::vector<std::byte> table(weights.embed.data, weights.embed.data + weights.embed.expert_bytes());
  const std::vector<std::uint16_t> nan(weights.embed.row_bytes / 2, 0x7e00);
  std::memcpy(table.data() + static_cast<std::size_t>(*bad) * weights.embed.row_bytes, nan.data(),
              weights.embed.row_bytes);
  weights.embed.data = table.data();

  Runner spoilt(weights, Numerics::fast);
  spoilt.logits(prompt);
  {
    const auto stream = must(spoilt.model->decode_stream(spoilt.request(healthy[0], 8)));
    for (auto token = healthy.begin() + 1; token <= bad; ++token) EXPECT_EQ(must(stream->next()), *token);
    EXPECT_EQ(must(stream->next()), model::no_token);
  }

  auto tokenizer = tokenizer_of(LoadedModel(demo_path).file->metadata());
  engine::GenerateRequest request;
  request.prompt = prompt;
  request.sampling.temperature = 0;
  Watched plain(*spoilt.model, true);
  Watched device(*spoilt.model);
  const auto expected = engine::generate(plain, *tokenizer, request);
  const auto actual = engine::generate(device, *tokenizer, request);
  EXPECT_EQ(device.streams, 1);
  ASSERT_FALSE(expected);
  ASSERT_FALSE(actual);
  EXPECT_EQ(actual.error().code, ErrorCode::inference);
  EXPECT_NE(actual.error().what.find("not a number"), std::string::npos);
  EXPECT_EQ(to_string(actual.error()), to_string(expected.error()));
}

}  // namespace
}  // namespace trine::test
