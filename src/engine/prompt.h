#pragma once

#include "base/error.h"
#include "gguf/metadata.h"
#include "sampling/sampler.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// A request held against the model that is to answer it. Errors name fields of the request: `where` is the
// field, and texts have fields between quotes ('context'), for whoever took the request to put its own name
// for them there.

namespace trine::engine {

struct Prompt {
  std::string text;                        // the user's message, or text to be continued
  std::optional<std::string> system = {};  // message that stands before it; for chat requests only
  bool raw = false;                        // text to be continued, whatever the model
};

// Whether the model's file carries a chat template, of whatever family.
bool has_chat_template(const gguf::Metadata& metadata);

// Text as it is, behind the token that the model wants in front, if any. `parse_special`: as
// text::Tokenizer::encode() takes it.
std::vector<text::TokenId> encode_text(const text::Tokenizer& tokenizer, std::string_view text,
                                       bool parse_special);

// A chat request as the model's own template writes it at this moment, up to where the model's answer begins;
// no message can forge a turn. Errors: usage ("messages": the model has no chat template), those of
// text::ChatTemplate ("tokenizer.chat_template, line 3": what it says no to or cannot be followed in).
Result<std::vector<text::TokenId>> encode_chat(const gguf::Metadata& metadata,
                                               const text::Tokenizer& tokenizer,
                                               std::span<const text::ChatMessage> messages);

// The prompt as a chat request when the model carries a chat template, else, or when it is raw, as text in
// which special tokens are read. Errors: usage ("system": where there is no chat), those of encode_chat().
Result<std::vector<text::TokenId>> encode_prompt(const gguf::Metadata& metadata,
                                                 const text::Tokenizer& tokenizer, const Prompt& prompt);

// Whether a text of that many bytes could fit, were every token of it the longest that the vocabulary has:
// what cannot is refused before tokens are made of it. Errors: as require_fit().
Result<void> require_may_fit(std::size_t text_bytes, const text::Tokenizer& tokenizer, std::int64_t context,
                             std::int64_t model_context);

// Whether that many tokens fit into `context` positions of a model made for `model_context`. Errors: usage
// ("prompt": says both lengths and what to do).
Result<void> require_fit(std::size_t prompt_tokens, std::int64_t context, std::int64_t model_context);

// Parameters held against the vocabulary as well. Errors: usage ("logit_bias": the model has no such token),
// those of sampling::validate().
Result<void> check_sampling(const sampling::SamplingParams& params, std::int32_t vocab_size);

}  // namespace trine::engine
