#pragma once

#include "base/error.h"
#include "gguf/metadata.h"
#include "text/jinja/template.h"
#include "text/tokenizer.h"

#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::text {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// A model's own chat template, which says what a conversation is for it: turn markers, default system turns,
// an opened <think>. What it writes is what the model gets.
class ChatTemplate {
 public:
  // tokenizer.chat_template. Errors: model_load (no such key, or no string), unsupported (no UTF-8, or what
  // the interpreter cannot follow, named: jinja::Template::parse()).
  static Result<ChatTemplate> from_gguf(const gguf::Metadata& metadata);

  // The conversation as the template writes it; with `add_generation_prompt` up to where the reply begins. As
  // in Hugging Face's apply_chat_template(), the template sees `messages`, `add_generation_prompt`, `tools`
  // and `documents` as None, and the spelling of the file's tokens as `bos_token` and `eos_token`. `now` is
  // what strftime_now() formats.
  //
  // Only what the template itself writes can be a control token: whatever roles and contents spell is encoded
  // as plain text, so that no message forges a turn. (Not held where a template changes a message so that
  // another text spells a control token that has no '|'.) Errors: those of jinja::Template::render(), with
  // where "tokenizer.chat_template, line N" and the code of the error; unsupported where the conversation
  // comes to no token, or the same text comes out whatever the system message or the last message says.
  Result<std::vector<TokenId>> encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                      bool add_generation_prompt, const std::tm& now) const;

 private:
  struct Request;
  struct Written;

  Result<Written> render(const Request& request, std::span<const ChatMessage> messages) const;
  Result<Written> write(const Request& request, std::span<const ChatMessage> messages) const;
  // Errors: unsupported, when `text` would be the same without what messages[place] says.
  Result<void> require_use_of(std::size_t place, std::string_view text, const Request& request,
                              std::span<const ChatMessage> messages) const;

  explicit ChatTemplate(jinja::Template program) : program_(std::move(program)) {}

  jinja::Template program_;
};

}  // namespace trine::text
