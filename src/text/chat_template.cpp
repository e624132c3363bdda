#include "text/chat_template.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

namespace trine::text {
namespace {

constexpr std::string_view template_key = "tokenizer.chat_template";

// Text passes through a template as bytes. Two that no UTF-8 has carry what must not be lost on the way: a
// mark behind the first byte of whatever spells a control token in a message, and an escape for these two
// themselves.
constexpr char mark = '\xFF';
constexpr char escape = '\xFE';
constexpr char escaped_mark = '\x01';
constexpr char escaped_escape = '\x02';

std::string mark_controls(const Tokenizer& tokenizer, std::string_view text) {
  std::string marked;
  marked.reserve(text.size());
  const std::vector<std::size_t> controls = tokenizer.find_control_spellings(text);
  auto next = controls.begin();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == mark) {
      marked += {escape, escaped_mark};
    } else if (text[i] == escape) {
      marked += {escape, escaped_escape};
    } else {
      marked += text[i];
    }
    if (next != controls.end() && *next == i) {
      marked += mark;
      ++next;
    }
  }
  return marked;
}

// The text without its marks, and where they stood: at the byte before each.
struct Unmarked {
  std::string text;
  std::vector<std::size_t> plain_at;
};

Unmarked unmark(std::string_view marked) {
  Unmarked out;
  out.text.reserve(marked.size());
  for (std::size_t i = 0; i < marked.size(); ++i) {
    if (marked[i] == mark) {
      if (!out.text.empty()) out.plain_at.push_back(out.text.size() - 1);
    } else if (marked[i] == escape && i + 1 < marked.size()) {
      out.text += marked[++i] == escaped_mark ? mark : escape;
    } else {
      out.text += marked[i];
    }
  }
  return out;
}

Error in_template(Error error) {
  // A Python error: the template does not know such a conversation.
  if (error.code == ErrorCode::other) error.code = ErrorCode::unsupported;
  error.where =
      error.where.empty() ? std::string(template_key) : fmt::format("{}, {}", template_key, error.where);
  return error;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::from_gguf(const gguf::Metadata& metadata) {
  TRINE_TRY(const std::string_view source, metadata.get_string(template_key));
  auto program = jinja::Template::parse(source);
  if (!program) return fail(in_template(std::move(program).error()));
  return ChatTemplate(*std::move(program));
}

Result<std::vector<TokenId>> ChatTemplate::encode(const Tokenizer& tokenizer,
                                                  std::span<const ChatMessage> messages,
                                                  bool add_generation_prompt, const std::tm& now) const {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ChatMessage& message : messages)
    list.push_back({{"role", mark_controls(tokenizer, message.role)},
                    {"content", mark_controls(tokenizer, message.content)}});
  const nlohmann::ordered_json variables = {
      {"messages", std::move(list)},
      {"add_generation_prompt", add_generation_prompt},
      {"tools", nullptr},
      {"documents", nullptr},
      {"bos_token", std::string(tokenizer.raw_piece(tokenizer.bos()))},
      {"eos_token", std::string(tokenizer.raw_piece(tokenizer.eos()))},
  };
  const auto rendered = program_.render(variables, {.now = now});
  if (!rendered) return fail(in_template(rendered.error()));
  const Unmarked out = unmark(*rendered);
  std::vector<TokenId> ids = tokenizer.encode(out.text, true, out.plain_at);
  if (ids.empty())
    return fail({.code = ErrorCode::unsupported,
                 .what = "the chat template writes nothing for this conversation",
                 .where = std::string(template_key)});
  return ids;
}

}  // namespace trine::text
