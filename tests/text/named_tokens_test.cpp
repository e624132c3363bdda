// Tokens that keys or spellings name: what ends a reply, what is a control token, and ids that mean none.

#include "text_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trine::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Tokenizer make(const gguf::Metadata& metadata) {
  auto tokenizer = Tokenizer::from_gguf(metadata);
  if (!tokenizer) throw std::runtime_error(to_string(tokenizer.error()));
  return *std::move(tokenizer);
}

Ids ends_of(const Tokenizer& tokenizer) {
  const auto ends = tokenizer.end_of_generation();
  return {ends.begin(), ends.end()};
}

// The small vocabulary (ids 0 to 255 are the bytes) with three more tokens.
gguf::Metadata plain() {
  return small_vocabulary({{"<a>", 3}, {"<b>", 3}, {"<c>", 3}}, {});
}

gguf::Metadata plain_with(const std::string& key, gguf::Value value) {
  gguf::Metadata metadata = plain();
  metadata.add("tokenizer.ggml." + key, std::move(value));
  return metadata;
}

TEST(NamedTokens, EveryKeyThatEndsAReply) {
  EXPECT_THAT(ends_of(make(plain())), IsEmpty());
  for (const std::string key : {"eos_token_id", "eos_token_ids", "eot_token_id", "eom_token_id",
                                "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"}) {
    const Tokenizer one = make(plain_with(key, gguf::make_value(std::uint32_t{257})));
    EXPECT_EQ(ends_of(one), Ids{257}) << key;
    EXPECT_THAT(one.warnings(), IsEmpty());
    EXPECT_EQ(ends_of(make(plain_with(key, gguf::make_value(std::int32_t{258})))), Ids{258}) << key;
    EXPECT_EQ(ends_of(make(plain_with(key, gguf::make_value(std::vector<std::int32_t>{258, 256, 258})))),
              (Ids{256, 258}))
        << key;
    EXPECT_THAT(ends_of(make(plain_with(key, gguf::make_value(std::vector<std::int32_t>{})))), IsEmpty())
        << key;
  }
  for (const std::string key : {"padding_token_id", "unknown_token_id", "fim_pre_token_id", "bos_token_id"})
    EXPECT_THAT(ends_of(make(plain_with(key, gguf::make_value(std::uint32_t{257})))), IsEmpty()) << key;
}

// What other tools write for "none", and ids of the vocabulary that a model had before.
TEST(NamedTokens, IdsOutsideTheVocabularyAreWarnedOf) {
  const gguf::Value strays[] = {gguf::make_value(std::uint32_t{259}),
                                gguf::make_value(std::uint32_t{4294967295}),
                                gguf::make_value(std::int32_t{-1}), gguf::make_value(~std::uint64_t{0}),
                                gguf::make_value(std::vector<std::int32_t>{-1})};
  for (const std::string key : {"bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id",
                                "padding_token_id", "unknown_token_id", "seperator_token_id", "mask_token_id",
                                "fim_pre_token_id", "fim_pad_token_id", "cls_token_id"})
    for (const gguf::Value& stray : strays) {
      const Tokenizer tokenizer = make(plain_with(key, stray));
      EXPECT_THAT(tokenizer.warnings(),
                  ElementsAre(testing::AllOf(HasSubstr("tokenizer.ggml." + key), HasSubstr("259 tokens"))));
      EXPECT_THAT(ends_of(tokenizer), IsEmpty());
      EXPECT_EQ(tokenizer.bos(), -1);
    }
  // A tool that writes one writes many: still one sentence.
  gguf::Metadata many = plain_with("eos_token_id", gguf::make_value(std::vector<std::int32_t>{257, 9999}));
  many.add("tokenizer.ggml.mask_token_id", gguf::make_value(std::uint32_t{4294967295}));
  const Tokenizer tokenizer = make(many);
  EXPECT_EQ(ends_of(tokenizer), Ids{257}) << "the others stay";
  EXPECT_THAT(tokenizer.warnings(), ElementsAre(testing::AllOf(HasSubstr("eos_token_id (9999)"),
                                                               HasSubstr("mask_token_id (4294967295)"))));
  const Tokenizer full =
      make(plain_with("eos_token_id", gguf::make_value(std::vector<std::int32_t>(100000, 9999))));
  ASSERT_EQ(full.warnings().size(), 1u);
  EXPECT_THAT(full.warnings()[0], HasSubstr("and 99992 more"));
  EXPECT_LT(full.warnings()[0].size(), 1000u);
}

TEST(NamedTokens, ValuesOfAnotherKindAreRefused) {
  for (const std::string key : {"eos_token_id", "padding_token_id"})
    for (const gguf::Value& value :
         {gguf::make_value("2"), gguf::make_value(1.0f), gguf::make_value(std::vector<float>{1})}) {
      const auto tokenizer = Tokenizer::from_gguf(plain_with(key, value));
      ASSERT_FALSE(tokenizer) << key;
      EXPECT_EQ(tokenizer.error().code, ErrorCode::model_load);
      EXPECT_THAT(to_string(tokenizer.error()), HasSubstr("tokenizer.ggml." + key));
    }
}

// Stored as anything else than control, the turn markers could be forged and would not end a reply.
TEST(NamedTokens, QwensOwnSpellingsAreControlTokensWhateverTheirType) {
  const std::vector<std::pair<std::string, bool>> own = {
      {"<|im_start|>", false},   {"<|im_end|>", true},      {"<|endoftext|>", true},
      {"<|fim_prefix|>", false}, {"<|fim_middle|>", false}, {"<|fim_suffix|>", false},
      {"<|fim_pad|>", true},     {"<|repo_name|>", true},   {"<|file_sep|>", true}};
  for (const auto& [spelling, ends] : own)
    for (const int type : {0, 1, 2, 3, 4, 5, 6}) {
      const Tokenizer tokenizer = make(small_vocabulary({{spelling, type}}, {}));
      EXPECT_TRUE(tokenizer.is_special(256)) << spelling << " type " << type;
      EXPECT_EQ(tokenizer.is_end_of_generation(256), ends) << spelling;
      EXPECT_EQ(tokenizer.encode(spelling, true), Ids{256});
      EXPECT_GT(tokenizer.encode(spelling, false).size(), 1u) << "plain text stays plain: " << spelling;
      EXPECT_EQ(tokenizer.warnings().size(), type == 3 ? 0u : 1u) << spelling << " type " << type;
      if (type == 4) {
        EXPECT_THAT(tokenizer.warnings()[0], HasSubstr("user-defined"));
      }
    }
}

// In Qwen's vocabulary </s> is an ordinary token of code.
TEST(NamedTokens, OtherFamiliesSpellingsCountWhereTheyAreNoOrdinaryTokens) {
  for (const std::string spelling : {"<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "</s>", "<eos>",
                                     "[EOS]", "<EOT>", "<|end_of_text|>", "<|return|>"})
    for (const int type : {1, 3, 4}) {
      const Tokenizer tokenizer = make(small_vocabulary({{spelling, type}}, {}));
      EXPECT_EQ(tokenizer.is_end_of_generation(256), type != 1) << spelling << " type " << type;
      EXPECT_EQ(tokenizer.is_special(256), type != 1) << spelling << " type " << type;
      EXPECT_EQ(tokenizer.warnings().size(), type == 4 ? 1u : 0u) << spelling;
    }
}

TEST(NamedTokens, WithoutTypesSpellingsStillCount) {
  gguf::Metadata metadata;
  const gguf::Metadata full = small_vocabulary({{"<|im_end|>", 3}, {"<x>", 3}}, {});
  for (const auto& [key, value] : full.entries())
    if (key != "tokenizer.ggml.token_type") metadata.add(key, value);
  const Tokenizer tokenizer = make(metadata);
  EXPECT_TRUE(tokenizer.is_end_of_generation(256));
  EXPECT_FALSE(tokenizer.is_special(257));
  EXPECT_THAT(tokenizer.warnings(), testing::Contains(HasSubstr("token_type")));
}

TEST(NamedTokens, ThePreTokenizerOfQwenFiles) {
  for (const std::string name : {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"}) {
    gguf::Metadata metadata;
    const gguf::Metadata base = small_vocabulary({}, {});
    for (const auto& [key, value] : base.entries())
      metadata.add(key, key == "tokenizer.ggml.pre" ? gguf::make_value(name) : value);
    EXPECT_THAT(make(metadata).warnings(), IsEmpty()) << name;
  }
  for (const std::string architecture : {"qwen3moe", "llama"}) {
    gguf::Metadata metadata;
    const gguf::Metadata base = small_vocabulary({}, {});
    for (const auto& [key, value] : base.entries())
      if (key != "tokenizer.ggml.pre") metadata.add(key, value);
    metadata.add("general.architecture", gguf::make_value(architecture));
    const auto tokenizer = Tokenizer::from_gguf(metadata);
    EXPECT_EQ(tokenizer.has_value(), architecture == "qwen3moe");
    if (tokenizer) {
      EXPECT_THAT(tokenizer->warnings(), ElementsAre(HasSubstr("tokenizer.ggml.pre")));
    }
  }
}

TEST(NamedTokens, SuppressedTokensAreSaidToBeNone) {
  EXPECT_THAT(
      make(plain_with("suppress_tokens", gguf::make_value(std::vector<std::int32_t>{1, 2}))).warnings(),
      ElementsAre(HasSubstr("suppress_tokens")));
  EXPECT_THAT(make(plain_with("suppress_tokens", gguf::make_value(std::vector<std::int32_t>{}))).warnings(),
              IsEmpty());
}

}  // namespace
}  // namespace trine::text
