#include "text/chat_template.h"

#include "text/utf8.h"

#include <fmt/format.h>
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace trine::text {
namespace {

constexpr std::string_view template_key = "tokenizer.chat_template";

// Where the bytes of messages end up is what must be known. Nearly every control token is spelt with '|', so
// the template is run twice, with another character in the place of theirs: a '|' that changed with it came
// from a message, by whatever filters, and the template sees the messages as they are. (DEL: no filter makes
// a '|' of it or strips it.)
constexpr char bar = '|', other_bar = '\x7F';

// For control tokens without '|', and for templates that write something else where a message has none: text
// passes through a template as bytes, and two that no UTF-8 has carry a mark behind the first byte of
// whatever spells a control token in a message, and an escape for these two themselves.
constexpr char mark = '\xFF';
constexpr char escape = '\xFE';
constexpr char escaped_mark = '\x01';
constexpr char escaped_escape = '\x02';

// `all`: also spellings with '|'.
std::string mark_controls(const Tokenizer& tokenizer, std::string_view text, bool all) {
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
    if (next == controls.end() || *next != i) continue;
    if (all || text.substr(i, 2).find(bar) == std::string_view::npos) marked += mark;
    ++next;
  }
  return marked;
}

Error in_template(Error error) {
  // A Python error: the template does not know such a conversation.
  if (error.code == ErrorCode::other) error.code = ErrorCode::unsupported;
  error.where =
      error.where.empty() ? std::string(template_key) : fmt::format("{}, {}", template_key, error.where);
  return error;
}

std::vector<ChatMessage> with_other_bars(std::span<const ChatMessage> messages) {
  std::vector<ChatMessage> other(messages.begin(), messages.end());
  for (ChatMessage& message : other) {
    std::replace(message.role.begin(), message.role.end(), bar, other_bar);
    std::replace(message.content.begin(), message.content.end(), bar, other_bar);
  }
  return other;
}

bool has_bars(std::span<const ChatMessage> messages) {
  return std::any_of(messages.begin(), messages.end(), [](const ChatMessage& message) {
    return message.role.find(bar) != std::string::npos || message.content.find(bar) != std::string::npos;
  });
}

// Where '|' changed with the messages; none when something else did.
std::optional<std::vector<std::size_t>> bars_of_messages(std::string_view text, std::string_view other) {
  if (text.size() != other.size()) return std::nullopt;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == other[i]) continue;
    if (text[i] != bar || other[i] != other_bar) return std::nullopt;
    places.push_back(i);
  }
  return places;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::from_gguf(const gguf::Metadata& metadata) {
  TRINE_TRY(const std::string_view source, metadata.get_string(template_key));
  // Its own bytes would be taken for marks.
  if (find_ill_formed(source, 0) != source.size())
    return fail({.code = ErrorCode::unsupported,
                 .what = "the chat template is not UTF-8",
                 .where = std::string(template_key)});
  auto program = jinja::Template::parse(source);
  if (!program) return fail(in_template(std::move(program).error()));
  return ChatTemplate(*std::move(program));
}

// What stays the same while a conversation is written.
struct ChatTemplate::Request {
  const Tokenizer& tokenizer;
  bool add_generation_prompt;
  const std::tm& now;
  bool mark_all = false;
};

// The text, and the offsets of bytes in it that can be no control token's, ascending.
struct ChatTemplate::Written {
  std::string text;
  std::vector<std::size_t> plain_at;
};

Result<ChatTemplate::Written> ChatTemplate::render(const Request& request,
                                                   std::span<const ChatMessage> messages) const {
  const Tokenizer& tokenizer = request.tokenizer;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ChatMessage& message : messages)
    list.push_back({{"role", mark_controls(tokenizer, message.role, request.mark_all)},
                    {"content", mark_controls(tokenizer, message.content, request.mark_all)}});
  const nlohmann::ordered_json variables = {
      {"messages", std::move(list)},
      {"add_generation_prompt", request.add_generation_prompt},
      {"tools", nullptr},
      {"documents", nullptr},
      {"bos_token", std::string(tokenizer.raw_piece(tokenizer.bos()))},
      {"eos_token", std::string(tokenizer.raw_piece(tokenizer.eos()))},
  };
  const auto rendered = program_.render(variables, {.now = request.now});
  if (!rendered) return fail(in_template(rendered.error()));
  const std::string& marked = *rendered;
  Written out;
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

Result<ChatTemplate::Written> ChatTemplate::write(const Request& request,
                                                  std::span<const ChatMessage> messages) const {
  TRINE_TRY(Written written, render(request, messages));
  if (!has_bars(messages)) return written;
  const auto other = render(request, with_other_bars(messages));
  const auto bars = other ? bars_of_messages(written.text, other->text) : std::nullopt;
  if (!bars) {
    Request marked = request;
    marked.mark_all = true;
    return render(marked, messages);
  }
  std::vector<std::size_t> plain_at;
  std::set_union(bars->begin(), bars->end(), written.plain_at.begin(), written.plain_at.end(),
                 std::back_inserter(plain_at));
  written.plain_at = std::move(plain_at);
  return written;
}

Result<void> ChatTemplate::require_use_of(std::size_t place, std::string_view text, const Request& request,
                                          std::span<const ChatMessage> messages) const {
  const std::string& content = messages[place].content;
  constexpr std::string_view space = " \t\r\n";
  const std::size_t begin = content.find_first_not_of(space);
  if (begin == std::string::npos) return {};
  // Nearly every template writes it as it is. One that does not may have changed it: two other texts in its
  // place show whether any of it comes through.
  const std::string_view start = std::string_view(content).substr(begin, 64);
  if (text.find(start.substr(0, start.find_first_of(space))) != std::string_view::npos) return {};
  std::vector<ChatMessage> other(messages.begin(), messages.end());
  other[place].content = "one";
  const auto one = render(request, other);
  other[place].content = "another";
  const auto another = render(request, other);
  if (!one || !another || one->text != another->text) return {};
  const std::string& role = messages[place].role;
  return fail({.code = ErrorCode::unsupported,
               .what = fmt::format("the chat template leaves out what the {} message says", role),
               .where = std::string(template_key),
               .hint = role == "system" ? "Put it into the user's message" : ""});
}

Result<std::vector<TokenId>> ChatTemplate::encode(const Tokenizer& tokenizer,
                                                  std::span<const ChatMessage> messages,
                                                  bool add_generation_prompt, const std::tm& now) const {
  const Request request = {tokenizer, add_generation_prompt, now};
  TRINE_TRY(const Written out, write(request, messages));
  std::vector<TokenId> ids = tokenizer.encode(out.text, true, out.plain_at);
  if (ids.empty())
    return fail({.code = ErrorCode::unsupported,
                 .what = "the chat template writes nothing for this conversation",
                 .where = std::string(template_key)});
  for (std::size_t i = 0; i < messages.size(); ++i)
    if (messages[i].role == "system" || i + 1 == messages.size())
      TRINE_CHECK_OK(require_use_of(i, out.text, request, messages));
  return ids;
}

}  // namespace trine::text
