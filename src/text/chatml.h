#pragma once

#include "base/error.h"

#include <span>
#include <string>
#include <string_view>

namespace trine::text {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// The ChatML layout, which every Qwen chat template renders for plain messages:
// <|im_start|>role\ncontent<|im_end|>\n … <|im_start|>assistant\n
// Content is data: a caller that encodes the result with special parsing must have escaped or refused control
// spellings in it; encode_chatml() below does that by encoding content without special parsing.
std::string render_chatml(std::span<const ChatMessage> messages, bool add_generation_prompt);

// True when the template text is of the ChatML family (writes <|im_start|> + role + newline and <|im_end|>).
// Errors (as Result<void>): unsupported, naming what was found instead.
Result<void> require_chatml(std::string_view chat_template);

}  // namespace trine::text
