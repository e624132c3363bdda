#include "engine/generate.h"

#include "byte_vocabulary.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <stdexcept>

namespace trine::engine {
namespace {

// Ids 0 to 255 are the bytes; the others stand here.
constexpr std::int32_t hello = 256, world = 257, stop_half = 258, control = 259, end_of_text = 260,
                       im_end = 261;
constexpr std::int32_t vocab_size = 262;

const text::Tokenizer& tokenizer() {
  static const text::Tokenizer instance = [] {
    gguf::Metadata metadata =
        byte_vocabulary({"Hello", "\u0120world", "ST"}, {"<|control|>", "<|endoftext|>", "<|im_end|>"});
    metadata.add("tokenizer.ggml.eos_token_id", gguf::make_value(static_cast<std::uint32_t>(im_end)));
    return tokenizer_of(metadata);
  }();
  return instance;
}

// Says a scripted reply: the logits behind the n-th position after the prompt favour reply[n]; the last one
// repeats. Steps run when they are submitted, and up to `ahead` of them before one is waited for.
class ScriptedModel final : public model::DeviceModel {
 public:
  ScriptedModel(std::size_t prompt_length, std::vector<std::int32_t> reply)
      : prompt_(prompt_length), reply_(reply), sampler_({}) {
    config_.vocab_size = vocab_size;
    config_.context_length = 64;
  }

  const model::Config& config() const override { return config_; }
  model::DeviceInfo describe() const override { return {}; }
  const model::StepLimits& limits() const override {
    limits_ = {page_size, pages, max_rows, 1, ahead};
    return limits_;
  }

  std::int32_t page_size = 4, pages = 16, max_rows = 8, ahead = 1;
  int fail_at = -1;
  std::size_t cancel_at = 0;
  std::atomic<bool> cancel = false;
  std::size_t spoil_at = 1000;      // tokens after which a logit is no number
  std::vector<std::int32_t> seen;   // every token run, by position
  std::vector<std::size_t> slices;  // rows of each step
  std::vector<std::int32_t> page_table;
  std::optional<model::Choosing> choosing;

 protected:
  Result<void> place_choosing(std::int32_t, const model::Slot& entry) override {
    choosing = entry.choosing;
    sampler_ = sampling::Sampler(entry.choosing.params);
    sampler_.accept_prompt(entry.choosing.prompt);
    return {};
  }
  Result<void> place_pages(std::int32_t, const model::Slot& entry) override {
    page_table = entry.pages;
    return {};
  }
  Result<void> place_allowed(std::int32_t, const model::Slot&) override { return {}; }
  Result<void> submit_plan(const model::StepPlan& plan, model::StageTap*) override {
    if (fail_at >= 0 && static_cast<int>(seen.size()) >= fail_at)
      return fail(ErrorCode::inference, "the device is gone");
    slices.push_back(plan.rows.size());
    seen.resize(static_cast<std::size_t>(plan.rows.front().position));
    for (const model::Row& row : plan.rows)
      seen.push_back(row.token == model::last_choice ? last_ : row.token);
    EXPECT_LE(plan.head_rows.size(), 1u);
    EXPECT_EQ(plan.head_rows.size(), seen.size() >= prompt_ ? 1u : 0u);  // of the prompt only its last row
    if (cancel_at == seen.size()) cancel = true;
    model::StepOutput output;
    if (!plan.head_rows.empty()) {
      const std::vector<float> logits = logits_now();
      if (!plan.token_rows.empty()) {
        last_ = sampler_.sample(logits).value_or(model::no_token);
        output.tokens = {last_};
      }
      if (!plan.logits_rows.empty()) output.logits = logits;
    }
    outputs_[plan.ring_index] = std::move(output);
    return {};
  }
  Result<model::StepOutput> take_output(std::int32_t ring_index) override {
    return std::move(outputs_.extract(ring_index).mapped());
  }

 private:
  std::vector<float> logits_now() const {
    std::vector<float> logits(vocab_size, 0.0f);
    logits[static_cast<std::size_t>(reply_[std::min(seen.size() - prompt_, reply_.size() - 1)])] = 10;
    if (seen.size() >= spoil_at) logits[0] = std::numeric_limits<float>::quiet_NaN();
    return logits;
  }

  model::Config config_;
  mutable model::StepLimits limits_;
  std::size_t prompt_;
  std::vector<std::int32_t> reply_;
  sampling::Sampler sampler_;
  std::int32_t last_ = model::no_token;
  std::map<std::int32_t, model::StepOutput> outputs_;
};

struct Outcome {
  Result<GenerateResult> result;
  std::vector<std::string> shown;
};

GenerateRequest request_of(std::size_t prompt_length) {
  GenerateRequest request;
  request.prompt.resize(prompt_length);
  std::iota(request.prompt.begin(), request.prompt.end(), std::int32_t{'a'});
  request.sampling.temperature = 0;
  return request;
}

Outcome reply_to(ScriptedModel& model, GenerateRequest request) {
  std::vector<std::string> shown;
  request.on_text = [&](std::string_view text) { shown.emplace_back(text); };
  request.cancel = &model.cancel;
  auto result = generate(model, tokenizer(), request);
  return {std::move(result), std::move(shown)};
}

std::string joined(const std::vector<std::string>& parts) {
  return std::accumulate(parts.begin(), parts.end(), std::string());
}

TEST(Generate, SaysTheReplyUntilTheEndToken) {
  for (const std::int32_t end : {im_end, end_of_text}) {
    ScriptedModel model(3, {hello, world, '!', end});
    const Outcome r = reply_to(model, request_of(3));
    ASSERT_TRUE(r.result) << to_string(r.result.error());
    EXPECT_EQ(r.result->text, "Hello world!");
    EXPECT_EQ(r.result->tokens, (std::vector<std::int32_t>{hello, world, '!'}));
    EXPECT_EQ(r.result->finish, FinishReason::end_of_generation);
    EXPECT_EQ(r.shown, (std::vector<std::string>{"Hello", " world", "!"}));
    EXPECT_EQ(model.seen, (std::vector<std::int32_t>{'a', 'b', 'c', hello, world, '!'}));
  }
}

TEST(Generate, PrefillsInSlicesAndAssignsPagesInOrder) {
  ScriptedModel model(21, {hello, world, im_end});
  const Outcome r = reply_to(model, request_of(21));
  ASSERT_TRUE(r.result) << to_string(r.result.error());
  EXPECT_EQ(model.slices, (std::vector<std::size_t>{8, 8, 5, 1, 1}));
  EXPECT_EQ(model.page_table, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5}));  // 23 positions, 4 a page
}

TEST(Generate, CharactersSpreadOverTokensComeOutWhole) {
  ScriptedModel model(1, {'a', 0xE2, 0x82, 0xAC, 'b', 0xC3, im_end});  // "a€b" and half a character
  const Outcome r = reply_to(model, request_of(1));
  ASSERT_TRUE(r.result);
  EXPECT_EQ(r.shown, (std::vector<std::string>{"a", "€", "b", "\uFFFD"}));
  EXPECT_EQ(r.result->text, "a€b\uFFFD");
}

TEST(Generate, ControlTokensHaveNoText) {
  ScriptedModel model(1, {hello, control, world, im_end});
  const Outcome r = reply_to(model, request_of(1));
  ASSERT_TRUE(r.result);
  EXPECT_EQ(r.result->text, "Hello world");
  EXPECT_EQ(r.result->tokens, (std::vector<std::int32_t>{hello, control, world}));
}

TEST(Generate, StopStringsSpanTokensAndAreNeverShown) {
  ScriptedModel model(2, {hello, '!', stop_half, 'O', 'P', world});
  GenerateRequest request = request_of(2);
  request.stop = {"STOP"};
  const Outcome r = reply_to(model, request);
  ASSERT_TRUE(r.result);
  EXPECT_EQ(r.result->finish, FinishReason::stop_string);
  EXPECT_EQ(r.result->text, "Hello!");
  EXPECT_EQ(joined(r.shown), "Hello!");
  EXPECT_EQ(r.result->tokens.size(), 5u);
}

TEST(Generate, WhatWasHeldBackIsShownAtTheEnd) {
  ScriptedModel model(2, {hello, stop_half, 'O', im_end});
  GenerateRequest request = request_of(2);
  request.stop = {"STOP"};
  const Outcome r = reply_to(model, request);
  ASSERT_TRUE(r.result);
  EXPECT_EQ(r.result->finish, FinishReason::end_of_generation);
  EXPECT_EQ(r.shown, (std::vector<std::string>{"Hello", "STO"}));
}

TEST(Generate, MaxTokens) {
  GenerateRequest request = request_of(2);
  request.max_tokens = 3;
  ScriptedModel model(2, {hello});
  const Outcome r = reply_to(model, request);
  ASSERT_TRUE(r.result);
  EXPECT_EQ(r.result->finish, FinishReason::length);
  EXPECT_EQ(r.result->text, "HelloHelloHello");
  EXPECT_EQ(model.seen.size(), 4u);  // the third token need not be run

  request.max_tokens = 0;
  ScriptedModel idle(2, {hello});
  const Outcome none = reply_to(idle, request);
  ASSERT_TRUE(none.result);
  EXPECT_EQ(none.result->finish, FinishReason::length);
  EXPECT_TRUE(none.result->tokens.empty());
  EXPECT_TRUE(idle.seen.empty());
}

TEST(Generate, EndsWhenTheContextIsFull) {
  ScriptedModel model(5, {'x'});
  model.pages = 2;  // 8 positions
  const Outcome r = reply_to(model, request_of(5));
  ASSERT_TRUE(r.result) << to_string(r.result.error());
  EXPECT_EQ(r.result->finish, FinishReason::context_full);
  EXPECT_EQ(model.seen.size(), 8u);
  EXPECT_EQ(r.result->text, "xxxx");  // behind positions 4 to 7

  ScriptedModel long_cache(60, {'x'});
  long_cache.pages = 100;  // the model itself ends at 64
  const Outcome own = reply_to(long_cache, request_of(60));
  ASSERT_TRUE(own.result) << to_string(own.result.error());
  EXPECT_EQ(own.result->finish, FinishReason::context_full);
  EXPECT_EQ(long_cache.seen.size(), 64u);
}

// A KV cache comes in whole pages; a request for less uses no position more.
TEST(Generate, TheRequestsContextHoldsWithinAPage) {
  for (const std::int32_t context : {5, 6, 7, 9}) {
    ScriptedModel model(5, {'x'});
    model.pages = 4;  // 16 positions
    GenerateRequest request = request_of(5);
    request.context = context;
    const Outcome r = reply_to(model, request);
    ASSERT_TRUE(r.result) << to_string(r.result.error());
    EXPECT_EQ(r.result->finish, FinishReason::context_full);
    EXPECT_EQ(model.seen.size(), static_cast<std::size_t>(context));
    EXPECT_EQ(r.result->tokens.size(), static_cast<std::size_t>(context) - 5 + 1);  // the last needs no place
  }
  ScriptedModel model(5, {'x'});
  GenerateRequest request = request_of(5);
  request.context = 4;
  const Outcome refused = reply_to(model, request);
  ASSERT_FALSE(refused.result);
  EXPECT_EQ(refused.result.error().expected, "at most 4 tokens ('context')");
  request.context = 1000;  // more than there is changes nothing
  ASSERT_TRUE(reply_to(model, request).result);
  EXPECT_EQ(model.seen.size(), 64u);
}

TEST(Generate, LogitsThatAreNoNumbersAreLocated) {
  ScriptedModel model(3, {'x'});
  GenerateRequest request = request_of(3);
  model.spoil_at = 0;
  const Outcome r = reply_to(model, request);
  ASSERT_FALSE(r.result);
  EXPECT_EQ(r.result.error().code, ErrorCode::inference);
  EXPECT_EQ(r.result.error().where, "logits behind token 3 (prompt and output)");
  EXPECT_FALSE(r.result.error().hint.empty());
}

TEST(Generate, APromptThatFillsTheContextGetsOneToken) {
  ScriptedModel model(8, {'x'});
  model.pages = 2;
  const Outcome r = reply_to(model, request_of(8));
  ASSERT_TRUE(r.result);
  EXPECT_EQ(r.result->finish, FinishReason::context_full);
  EXPECT_EQ(r.result->text, "x");
}

TEST(Generate, APromptThatDoesNotFitSaysBothLengthsAndWhatToDo) {
  ScriptedModel model(9, {'x'});
  model.pages = 2;
  const Outcome r = reply_to(model, request_of(9));
  ASSERT_FALSE(r.result);
  EXPECT_EQ(r.result.error().code, ErrorCode::usage);
  EXPECT_EQ(r.result.error().where, "prompt");
  EXPECT_EQ(r.result.error().expected, "at most 8 tokens ('context')");
  EXPECT_EQ(r.result.error().actual, "9 tokens");
  EXPECT_NE(r.result.error().hint.find("Raise 'context'"), std::string::npos) << r.result.error().hint;

  const Outcome hopeless = reply_to(model, request_of(65));  // no context would help
  ASSERT_FALSE(hopeless.result);
  EXPECT_EQ(hopeless.result.error().hint.find("context"), std::string::npos) << hopeless.result.error().hint;
  EXPECT_NE(hopeless.result.error().hint.find("64"), std::string::npos) << hopeless.result.error().hint;
  EXPECT_TRUE(model.seen.empty());
}

TEST(Generate, RefusesImpossibleRequests) {
  ScriptedModel model(1, {'x'});
  const auto refused = [&](auto change) {
    GenerateRequest request = request_of(1);
    change(request);
    const Outcome r = reply_to(model, request);
    ASSERT_FALSE(r.result);
    EXPECT_EQ(r.result.error().code, ErrorCode::usage);
  };
  refused([](GenerateRequest& r) { r.prompt.clear(); });
  refused([](GenerateRequest& r) { r.max_tokens = -2; });
  refused([](GenerateRequest& r) { r.sampling.top_p = 2; });
  refused([](GenerateRequest& r) { r.stop = {"ok", ""}; });
  refused([](GenerateRequest& r) { r.stop = {"\xA9 half"}; });
  EXPECT_TRUE(model.seen.empty());
}

TEST(Generate, CancelEndsBetweenSlicesAndBetweenTokens) {
  ScriptedModel slow(20, {'x'});
  slow.cancel_at = 8;  // during the first slice of three
  const Outcome in_prefill = reply_to(slow, request_of(20));
  ASSERT_TRUE(in_prefill.result);
  EXPECT_EQ(in_prefill.result->finish, FinishReason::cancelled);
  EXPECT_TRUE(in_prefill.result->tokens.empty());
  EXPECT_EQ(slow.seen.size(), 8u);

  ScriptedModel model(3, {'x'});
  model.cancel_at = 5;
  const Outcome r = reply_to(model, request_of(3));
  ASSERT_TRUE(r.result);
  EXPECT_EQ(r.result->finish, FinishReason::cancelled);
  EXPECT_EQ(r.result->text, "xxx");  // behind positions 2, 3 and 4
  EXPECT_EQ(model.seen.size(), 5u);
}

TEST(Generate, ADeviceFaultIsAnError) {
  for (const int at : {0, 8, 12}) {
    ScriptedModel model(10, {'x'});
    model.fail_at = at;
    const Outcome r = reply_to(model, request_of(10));
    ASSERT_FALSE(r.result);
    EXPECT_EQ(r.result.error().code, ErrorCode::inference);
  }
}

TEST(Generate, PenaltiesKnowThePrompt) {
  ScriptedModel model(3, {'b'});  // 'b' is in the prompt
  GenerateRequest request = request_of(3);
  request.max_tokens = 1;
  request.sampling.repeat_penalty = 100;
  request.sampling.logit_bias = {{'z', 1.0f}};
  const Outcome r = reply_to(model, request);
  ASSERT_TRUE(r.result);
  EXPECT_EQ(r.result->text, "z");  // 10/100 against 1
}

// Whatever ends a reply: steps that run ahead of it change nothing.
TEST(Generate, StepsAheadChangeNothing) {
  struct Case {
    const char* what;
    std::function<void(GenerateRequest&, ScriptedModel&)> prepare;
  };
  const std::vector<Case> cases = {
      {"end token", [](auto&, auto&) {}},
      {"stop string", [](auto& request, auto&) { request.stop = {"STOP"}; }},
      {"one token", [](auto& request, auto&) { request.max_tokens = 1; }},
      {"two tokens", [](auto& request, auto&) { request.max_tokens = 2; }},
      {"five tokens", [](auto& request, auto&) { request.max_tokens = 5; }},
      {"context", [](auto& request, auto&) { request.context = 6; }},
      {"no number", [](auto&, auto& model) { model.spoil_at = 6; }},
      {"penalties",
       [](auto& request, auto&) {
         request.sampling.repeat_penalty = 100;
         request.sampling.logit_bias = {{'z', 1.0f}};
         request.max_tokens = 9;
       }},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    GenerateRequest request = request_of(3);
    ScriptedModel alone(3, {hello, '!', stop_half, 'O', 'P', world, im_end});
    ScriptedModel ahead(3, {hello, '!', stop_half, 'O', 'P', world, im_end});
    ahead.ahead = 3;
    one.prepare(request, alone);
    one.prepare(request, ahead);
    const Outcome expected = reply_to(alone, request), actual = reply_to(ahead, request);
    ASSERT_EQ(bool(actual.result), bool(expected.result));
    if (!expected.result) {
      EXPECT_EQ(to_string(actual.result.error()), to_string(expected.result.error()));
      continue;
    }
    EXPECT_EQ(actual.result->text, expected.result->text);
    EXPECT_EQ(actual.result->tokens, expected.result->tokens);
    EXPECT_EQ(actual.result->finish, expected.result->finish);
    EXPECT_EQ(actual.shown, expected.shown);
  }
}

// Nothing runs past what may be wanted, and the slot is free again whatever ended the reply.
TEST(Generate, StepsAheadEndWhereTheReplyMust) {
  for (const bool by_context : {false, true}) {
    ScriptedModel model(5, {'x'});
    model.ahead = 3;
    GenerateRequest request = request_of(5);
    (by_context ? request.context : request.max_tokens) = by_context ? 11 : 7;
    for (int round = 0; round < 2; ++round) {
      const Outcome r = reply_to(model, request);
      ASSERT_TRUE(r.result) << to_string(r.result.error());
      EXPECT_EQ(r.result->tokens.size(), 7u);
      EXPECT_EQ(model.seen.size(), 11u);                                  // the last token need not be run
      EXPECT_EQ(model.page_table, (std::vector<std::int32_t>{0, 1, 2}));  // 4 positions a page
    }
  }
}

TEST(Generate, TheDeviceIsToldHowToChoose) {
  ScriptedModel model(3, {'x'});
  GenerateRequest request = request_of(3);
  request.max_tokens = 2;
  request.sampling = {.temperature = 0.01f, .top_k = 3, .top_p = 0.5f, .min_p = 0.25f, .seed = 12345678901};
  ASSERT_TRUE(reply_to(model, request).result);
  ASSERT_TRUE(model.choosing);
  EXPECT_EQ(model.choosing->params.top_k, 3);
  EXPECT_EQ(model.choosing->params.seed, 12345678901u);
  EXPECT_EQ(model.choosing->prompt, request.prompt);
  EXPECT_TRUE(model.choosing->chosen.empty());
}

TEST(Generate, TimesAddUp) {
  ScriptedModel model(3, {hello, world, im_end});
  const Outcome r = reply_to(model, request_of(3));
  ASSERT_TRUE(r.result);
  EXPECT_GT(r.result->first_token_seconds, 0);
  EXPECT_GT(r.result->decode_seconds, 0);
}

}  // namespace
}  // namespace trine::engine
