#include "text/chatml.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <fmt/format.h>

namespace trine::text {
namespace {

constexpr std::string_view turn_begin = "<|im_start|>";
constexpr std::string_view turn_end = "<|im_end|>";
constexpr std::string_view generation_role = "assistant\n";

struct Family {
  std::string_view marker;  // spelled in templates of this family and in no ChatML template
  std::string_view name;
};
constexpr std::array families{
    Family{"<|start_header_id|>", "Llama 3"},
    Family{"<|header_start|>", "Llama 4"},
    Family{"<<SYS>>", "Llama 2"},
    Family{"<start_of_turn>", "Gemma"},
    Family{"[INST]", "Mistral"},
    Family{"<|im_sep|>", "Phi-4"},
    Family{"<|end|>", "Phi-3 or gpt-oss"},
    Family{"<|im_middle|>", "Kimi"},
    Family{"<｜User｜>", "DeepSeek"},
    Family{"<|START_OF_TURN_TOKEN|>", "Command R"},
    Family{"<|start_of_role|>", "Granite"},
    Family{"[gMASK]", "GLM"},
    Family{"### Instruction", "Alpaca"},
};

// Between the marker and the newline stands the role: `system\n`, `' + message.role + '\n'`, `{{ message.role
// }}\n` and the like. The newline may be an escape in a Jinja string or a real one.
bool writes_role_and_newline(std::string_view after_marker) {
  constexpr std::size_t longest_role_expression = 80;
  const std::string_view head = after_marker.substr(0, longest_role_expression);
  const std::size_t newline = std::min(head.find('\n'), head.find("\\n"));
  if (newline == std::string_view::npos) return false;
  const std::string_view role = head.substr(0, newline);
  if (role.find("<|") != std::string_view::npos) return false;
  return std::any_of(role.begin(), role.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

bool writes_chatml_turns(std::string_view chat_template) {
  if (chat_template.find(turn_end) == std::string_view::npos) return false;
  for (std::size_t at = chat_template.find(turn_begin); at != std::string_view::npos;
       at = chat_template.find(turn_begin, at + 1))
    if (writes_role_and_newline(chat_template.substr(at + turn_begin.size()))) return true;
  return false;
}

// The first thing that looks like a control token, for a family this file does not know.
std::string describe_unknown(std::string_view chat_template) {
  constexpr std::size_t longest_marker = 40;
  if (const std::size_t begin = chat_template.find("<|"); begin != std::string_view::npos) {
    const std::size_t end = chat_template.find("|>", begin);
    if (end != std::string_view::npos && end - begin <= longest_marker)
      return fmt::format("a template that writes {}", chat_template.substr(begin, end + 2 - begin));
  }
  return chat_template.empty() ? "an empty template" : "a template without known turn markers";
}

std::string turn_text(const ChatMessage& message) {
  return fmt::format("{}\n{}", message.role, message.content);
}

Result<TokenId> control_token(const Tokenizer& tokenizer, std::string_view spelling) {
  const TokenId id = tokenizer.find(spelling);
  if (id >= 0 && tokenizer.is_special(id)) return id;
  return fail({.code = ErrorCode::model_load,
               .what = "the vocabulary cannot write ChatML turns",
               .where = "tokenizer.ggml.tokens",
               .expected = fmt::format("a control token {}", spelling),
               .actual = id < 0 ? "no such token" : fmt::format("token {} of another type", id),
               .hint = "use a chat model, or prompt this one with plain text"});
}

}  // namespace

std::string render_chatml(std::span<const ChatMessage> messages, bool add_generation_prompt) {
  std::string text;
  for (const ChatMessage& message : messages) {
    text += turn_begin;
    text += turn_text(message);
    text += turn_end;
    text += '\n';
  }
  if (add_generation_prompt) {
    text += turn_begin;
    text += generation_role;
  }
  return text;
}

Result<std::vector<TokenId>> encode_chatml(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                           bool add_generation_prompt) {
  TRINE_TRY(const TokenId begin, control_token(tokenizer, turn_begin));
  TRINE_TRY(const TokenId end, control_token(tokenizer, turn_end));
  std::vector<TokenId> ids;
  // Role and content are one text: a merge or a word may span the newline between them.
  const auto append_plain = [&](std::string_view text) {
    const std::vector<TokenId> plain = tokenizer.encode(text, false);
    ids.insert(ids.end(), plain.begin(), plain.end());
  };
  for (const ChatMessage& message : messages) {
    ids.push_back(begin);
    append_plain(turn_text(message));
    ids.push_back(end);
    append_plain("\n");
  }
  if (add_generation_prompt) {
    ids.push_back(begin);
    append_plain(generation_role);
  }
  return ids;
}

Result<void> require_chatml(std::string_view chat_template) {
  std::string found;
  for (const Family& family : families) {
    if (chat_template.find(family.marker) == std::string_view::npos) continue;
    found = fmt::format("a template of the {} family ({})", family.name, family.marker);
    break;
  }
  if (found.empty()) {
    if (writes_chatml_turns(chat_template)) return {};
    found = describe_unknown(chat_template);
  }
  return fail({.code = ErrorCode::unsupported,
               .what = "the chat template is not of the ChatML family",
               .where = "tokenizer.chat_template",
               .expected = "<|im_start|>role, a newline, the content, <|im_end|>",
               .actual = std::move(found)});
}

}  // namespace trine::text
