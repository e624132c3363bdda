#pragma once

#include "base/error.h"
#include "text/tokenizer.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::text {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// The ChatML layout, which every Qwen chat template renders for plain messages:
// <|im_start|>role\ncontent<|im_end|>\n … <|im_start|>assistant\n
// For showing to a person. Content is data: encoding this string with special parsing would let a message
// that spells <|im_start|> forge a turn; encode_chatml() does not.
std::string render_chatml(std::span<const ChatMessage> messages, bool add_generation_prompt);

// The ids of render_chatml()'s text, where only the layout's own <|im_start|> and <|im_end|> are control
// tokens: whatever roles and contents spell is encoded as plain text. For messages that spell no control
// token, the ids are those of encode(render_chatml(…), true). No token is put in front, whatever add_bos()
// says: the layout has none. Errors: model_load when the vocabulary lacks <|im_start|> or <|im_end|>, or has
// them as something else than control tokens.
Result<std::vector<TokenId>> encode_chatml(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                           bool add_generation_prompt);

// Accepts a chat template (Jinja source, as in tokenizer.chat_template) of the ChatML family: it writes
// <|im_start|>
// + role + newline, and <|im_end|>, and no other family's turn markers. Looks at the text, does not run it.
// Errors: unsupported, naming what was found instead.
Result<void> require_chatml(std::string_view chat_template);

}  // namespace trine::text
