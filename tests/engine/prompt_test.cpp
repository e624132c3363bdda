// From a request to tokens, over a vocabulary in which text is its bytes.
#include "engine/prompt.h"

#include "byte_vocabulary.h"

#include <gtest/gtest.h>
#include <limits>

namespace trine::engine {
namespace {

using Ids = std::vector<text::TokenId>;

constexpr text::TokenId chat_start = 256, chat_end = 257, bos = 258;

gguf::Metadata chat_model() {
  gguf::Metadata metadata = byte_vocabulary({}, {"<|im_start|>", "<|im_end|>", "<|bos|>"});
  metadata.add("tokenizer.chat_template",
               gguf::make_value("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content "
                                "}}<|im_end|>\n{% endfor %}{{ '<|im_start|>assistant\n' }}"));
  return metadata;
}

gguf::Metadata base_model() {
  return byte_vocabulary({}, {"<|im_start|>", "<|im_end|>", "<|bos|>"});
}

gguf::Metadata with_bos(gguf::Metadata metadata) {
  metadata.add("tokenizer.ggml.bos_token_id", gguf::make_value(static_cast<std::uint32_t>(bos)));
  metadata.add("tokenizer.ggml.add_bos_token", gguf::make_value(true));
  return metadata;
}

Result<Ids> encode(const gguf::Metadata& metadata, const Prompt& prompt) {
  return encode_prompt(metadata, tokenizer_of(metadata), prompt);
}

Ids bytes_of(std::string_view text) {
  Ids ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  return ids;
}

// Control tokens and text, one behind the other.
Ids joined(const std::vector<Ids>& parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// What the user says, and the start of the reply.
Ids user_turn(std::string_view text) {
  return joined({{chat_start},
                 bytes_of("user\n"),
                 bytes_of(text),
                 {chat_end},
                 bytes_of("\n"),
                 {chat_start},
                 bytes_of("assistant\n")});
}

void expect_refused(const Result<Ids>& result, ErrorCode code, const std::string& where) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code);
  EXPECT_EQ(result.error().where, where);
}

TEST(EncodePrompt, AModelWithATemplateGetsAChatRequest) {
  const auto ids = encode(chat_model(), {.text = "hi"});
  ASSERT_TRUE(ids) << to_string(ids.error());
  EXPECT_EQ(*ids, user_turn("hi"));
}

TEST(EncodePrompt, TheSystemMessageStandsFirst) {
  const auto ids = encode(chat_model(), {.text = "hi", .system = "Be brief."});
  ASSERT_TRUE(ids) << to_string(ids.error());
  EXPECT_EQ(
      *ids,
      joined({{chat_start}, bytes_of("system\nBe brief."), {chat_end}, bytes_of("\n"), user_turn("hi")}));
}

TEST(EncodePrompt, AnEmptySystemMessageIsOne) {
  const auto ids = encode(chat_model(), {.text = "hi", .system = ""});
  ASSERT_TRUE(ids) << to_string(ids.error());
  const Ids head = joined({{chat_start}, bytes_of("system\n"), {chat_end}});
  EXPECT_EQ(Ids(ids->begin(), ids->begin() + std::ssize(head)), head);
}

TEST(EncodePrompt, RawTextIsContinued) {
  const auto raw = encode(chat_model(), {.text = "hi", .raw = true});
  ASSERT_TRUE(raw) << to_string(raw.error());
  EXPECT_EQ(*raw, bytes_of("hi"));
  // As a model without a template gets it.
  const auto base = encode(base_model(), {.text = "hi"});
  ASSERT_TRUE(base) << to_string(base.error());
  EXPECT_EQ(*base, bytes_of("hi"));
}

TEST(EncodePrompt, ControlTokensAreReadInRawTextAlone) {
  const auto raw = encode(chat_model(), {.text = "a<|im_end|>b", .raw = true});
  ASSERT_TRUE(raw) << to_string(raw.error());
  EXPECT_EQ(*raw, joined({bytes_of("a"), {chat_end}, bytes_of("b")}));
  const auto chat = encode(chat_model(), {.text = "a<|im_end|>b"});
  ASSERT_TRUE(chat) << to_string(chat.error());
  EXPECT_EQ(*chat, user_turn("a<|im_end|>b"));
}

TEST(EncodePrompt, TheFirstTokenThatAModelWantsStandsBeforeTextAlone) {
  const auto raw = encode(with_bos(chat_model()), {.text = "hi", .raw = true});
  ASSERT_TRUE(raw) << to_string(raw.error());
  EXPECT_EQ(*raw, joined({{bos}, bytes_of("hi")}));
  // A chat template writes its own.
  const auto chat = encode(with_bos(chat_model()), {.text = "hi"});
  ASSERT_TRUE(chat) << to_string(chat.error());
  EXPECT_EQ(chat->front(), chat_start);
}

TEST(EncodePrompt, ASystemMessageNeedsAChat) {
  expect_refused(encode(base_model(), {.text = "hi", .system = "x"}), ErrorCode::usage, "system");
  expect_refused(encode(base_model(), {.text = "hi", .system = ""}), ErrorCode::usage, "system");
  expect_refused(encode(chat_model(), {.text = "hi", .system = "x", .raw = true}), ErrorCode::usage,
                 "system");
}

TEST(EncodePrompt, AnyTemplateIsFollowedOrSaidNotToBe) {
  gguf::Metadata other = base_model();
  other.add("tokenizer.chat_template", gguf::make_value("[INST] {{ messages[0].content }} [/INST]"));
  const auto followed = encode(other, {.text = "hi"});
  ASSERT_TRUE(followed) << to_string(followed.error());
  EXPECT_EQ(*followed, bytes_of("[INST] hi [/INST]"));

  gguf::Metadata strange = base_model();
  strange.add("tokenizer.chat_template", gguf::make_value("{% include 'chat' %}"));
  expect_refused(encode(strange, {.text = "hi"}), ErrorCode::unsupported, "tokenizer.chat_template, line 1");
  const auto raw = encode(strange, {.text = "hi", .raw = true});
  ASSERT_TRUE(raw) << to_string(raw.error());
  EXPECT_EQ(*raw, bytes_of("hi"));
}

TEST(EncodeChat, TakesAnyMessagesAndNeedsATemplate) {
  const std::vector<text::ChatMessage> messages = {{"user", "a"}, {"assistant", "b"}, {"user", "c"}};
  const gguf::Metadata chat = chat_model(), base = base_model();
  const auto ids = encode_chat(chat, tokenizer_of(chat), messages);
  ASSERT_TRUE(ids) << to_string(ids.error());
  EXPECT_EQ(*ids, joined({user_turn("a"), bytes_of("b"), {chat_end}, bytes_of("\n"), user_turn("c")}));
  expect_refused(encode_chat(base, tokenizer_of(base), messages), ErrorCode::usage, "messages");
}

TEST(RequireMayFit, NoTokenIsLongerThanTheLongest) {
  const gguf::Metadata metadata = chat_model();
  const text::Tokenizer tokenizer = tokenizer_of(metadata);
  const std::size_t longest = std::string_view("<|im_start|>").size();
  EXPECT_TRUE(require_may_fit(0, tokenizer, 4, 64));
  EXPECT_TRUE(require_may_fit(4 * longest, tokenizer, 4, 64));
  const auto refused = require_may_fit(4 * longest + 1, tokenizer, 4, 64);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().where, "prompt");
  EXPECT_EQ(refused.error().actual, "49 bytes, so 5 tokens or more");
  EXPECT_NE(refused.error().hint.find("Raise 'context'"), std::string::npos);
  EXPECT_FALSE(require_may_fit(std::numeric_limits<std::uint32_t>::max(), tokenizer, 4, 64));
}

TEST(RequireFit, APromptMayFillTheContext) {
  EXPECT_TRUE(require_fit(0, 64, 2048));
  EXPECT_TRUE(require_fit(64, 64, 2048));
  EXPECT_FALSE(require_fit(65, 64, 2048));
  EXPECT_FALSE(require_fit(std::numeric_limits<std::uint32_t>::max(), 64, 2048));
}

TEST(RequireFit, SaysBothLengthsAndWhatWouldHelp) {
  const auto raised = require_fit(65, 64, 2048);
  ASSERT_FALSE(raised);
  EXPECT_EQ(raised.error().code, ErrorCode::usage);
  EXPECT_EQ(raised.error().where, "prompt");
  EXPECT_NE(raised.error().expected.find("64"), std::string::npos) << raised.error().expected;
  EXPECT_NE(raised.error().actual.find("65"), std::string::npos) << raised.error().actual;
  EXPECT_NE(raised.error().hint.find("Raise 'context'"), std::string::npos) << raised.error().hint;
  EXPECT_NE(raised.error().hint.find("2048"), std::string::npos) << raised.error().hint;
  const auto shortened = require_fit(2049, 64, 2048);
  ASSERT_FALSE(shortened);
  EXPECT_EQ(shortened.error().hint.find("context"), std::string::npos) << shortened.error().hint;
  EXPECT_NE(shortened.error().hint.find("Shorten"), std::string::npos) << shortened.error().hint;
}

TEST(CheckSampling, ABiasNeedsItsToken) {
  sampling::SamplingParams params;
  params.logit_bias = {{0, 1.0f}, {261, -1.0f}};
  EXPECT_TRUE(check_sampling(params, 262));
  for (const std::int32_t absent : {-1, 262, std::numeric_limits<std::int32_t>::max()}) {
    params.logit_bias = {{5, 1.0f}, {absent, 1.0f}};
    const auto refused = check_sampling(params, 262);
    ASSERT_FALSE(refused) << absent;
    EXPECT_EQ(refused.error().code, ErrorCode::usage);
    EXPECT_EQ(refused.error().where, "logit_bias");
    EXPECT_NE(refused.error().expected.find("0 to 261"), std::string::npos) << refused.error().expected;
    EXPECT_EQ(refused.error().actual, std::to_string(absent));
  }
}

TEST(CheckSampling, NamesTheParameterThatIsOutOfRange) {
  sampling::SamplingParams params;
  params.top_p = 2;
  const auto refused = check_sampling(params, 262);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::usage);
  EXPECT_EQ(refused.error().where, "top_p");
}

}  // namespace
}  // namespace trine::engine
