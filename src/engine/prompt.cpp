#include "engine/prompt.h"

#include <fmt/format.h>
#include <algorithm>
#include <ctime>
#include <utility>

namespace trine::engine {
namespace {

constexpr std::string_view template_key = "tokenizer.chat_template";

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  ::localtime_r(&now, &local);
  return local;
}

Error too_long(std::int64_t tokens, std::string actual, std::int64_t context, std::int64_t model_context) {
  return {
      .code = ErrorCode::usage,
      .what = "the prompt does not fit into the context",
      .where = "prompt",
      .expected = fmt::format("at most {} tokens ('context')", context),
      .actual = std::move(actual),
      .hint = fmt::format("{}; this model takes up to {}",
                          tokens <= model_context ? "Raise 'context'" : "Shorten the prompt", model_context)};
}

}  // namespace

bool has_chat_template(const gguf::Metadata& metadata) {
  return metadata.find(template_key) != nullptr;
}

std::vector<text::TokenId> encode_text(const text::Tokenizer& tokenizer, std::string_view text,
                                       bool parse_special) {
  std::vector<text::TokenId> tokens = tokenizer.encode(text, parse_special);
  if (tokenizer.add_bos()) tokens.insert(tokens.begin(), tokenizer.bos());
  return tokens;
}

Result<std::vector<text::TokenId>> encode_chat(const gguf::Metadata& metadata,
                                               const text::Tokenizer& tokenizer,
                                               std::span<const text::ChatMessage> messages) {
  if (!has_chat_template(metadata)) {
    return fail({.code = ErrorCode::usage,
                 .what = "'messages' need a chat template, and this model carries none",
                 .where = "messages",
                 .hint = "Send one text to be continued"});
  }
  TRINE_TRY(const text::ChatTemplate chat_template, text::ChatTemplate::from_gguf(metadata));
  return chat_template.encode(tokenizer, messages, true, local_time());
}

Result<std::vector<text::TokenId>> encode_prompt(const gguf::Metadata& metadata,
                                                 const text::Tokenizer& tokenizer, const Prompt& prompt) {
  if (!prompt.raw && has_chat_template(metadata)) {
    std::vector<text::ChatMessage> messages;
    if (prompt.system) messages.push_back({"system", *prompt.system});
    messages.push_back({"user", prompt.text});
    return encode_chat(metadata, tokenizer, messages);
  }
  if (prompt.system) {
    return fail({.code = ErrorCode::usage,
                 .what = prompt.raw ? "'system' has no place in 'raw' text"
                                    : "'system' needs a chat template, and this model carries none",
                 .where = "system",
                 .hint = "Put it into the prompt itself"});
  }
  return encode_text(tokenizer, prompt.text, true);
}

Result<void> require_may_fit(std::size_t text_bytes, const text::Tokenizer& tokenizer, std::int64_t context,
                             std::int64_t model_context) {
  std::size_t longest = 1;
  for (text::TokenId id = 0; id < tokenizer.vocab_size(); ++id)
    longest = std::max(longest, tokenizer.piece(id).size());
  const auto fewest = static_cast<std::int64_t>((text_bytes + longest - 1) / longest);
  if (fewest <= context) return {};
  return fail(too_long(fewest, fmt::format("{} bytes, so {} tokens or more", text_bytes, fewest), context,
                       model_context));
}

Result<void> require_fit(std::size_t prompt_tokens, std::int64_t context, std::int64_t model_context) {
  const auto tokens = static_cast<std::int64_t>(prompt_tokens);
  if (tokens <= context) return {};
  return fail(too_long(tokens, fmt::format("{} tokens", tokens), context, model_context));
}

Result<void> check_sampling(const sampling::SamplingParams& params, std::int32_t vocab_size) {
  for (const auto& [token, bias] : params.logit_bias) {
    if (token >= 0 && token < vocab_size) continue;
    return fail({.code = ErrorCode::usage,
                 .what = "the model has no such token",
                 .where = "logit_bias",
                 .expected = fmt::format("a token id from 0 to {}", vocab_size - 1),
                 .actual = fmt::format("{}", token)});
  }
  return sampling::validate(params, vocab_size);
}

}  // namespace trine::engine
