#include "cli/terminal_text.h"

#include <fmt/format.h>
#include <utility>

namespace trine::cli {
namespace {

// Bytes of the UTF-8 character that `text` begins with; 0 when it begins with none (Unicode 15, table 3-7).
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4 || !continues(1)) return 0;
  if (first < 0xE0) return 2;
  const unsigned second = byte(1);
  if (first < 0xF0) {
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)) return 0;
    return continues(2) ? 3 : 0;
  }
  if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) return 0;
  return continues(2) && continues(3) ? 4 : 0;
}

// Whether more bytes could make a character of `text`, which is none yet.
bool may_become_character(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0xC2 || first > 0xF4) return false;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() >= length) return false;
  if (text.size() == 1) return true;
  std::string completed(text);
  completed.resize(length, '\x80');
  return character_length(completed) == length;
}

bool drives_a_terminal(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (character.size() == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;
  if (character.size() != 3 || byte(0) != 0xE2) return false;
  return (byte(1) == 0x80 && byte(2) >= 0xAA && byte(2) <= 0xAE) ||
         (byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9);
}

void spell_out(std::string& out, std::string_view bytes) {
  for (const char c : bytes) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
}

// Takes the character, or the byte that is part of none, that `text` begins with.
std::string_view take_character(std::string_view& text) {
  const std::size_t length = character_length(text);
  const std::string_view character = text.substr(0, length == 0 ? 1 : length);
  text.remove_prefix(character.size());
  return character;
}

void show(std::string& out, std::string_view character, bool lines) {
  const bool is_layout = lines && (character == "\n" || character == "\t");
  const bool is_safe = character_length(character) > 0 && !drives_a_terminal(character);
  if (is_layout || is_safe) {
    out += character;
  } else {
    spell_out(out, character);
  }
}

}  // namespace

std::string printable(std::string_view text, std::size_t max_characters) {
  std::string out;
  const std::size_t bytes = text.size();
  for (std::size_t shown = 0; !text.empty(); ++shown) {
    if (max_characters > 0 && shown == max_characters) return out + fmt::format("… ({} bytes)", bytes);
    show(out, take_character(text), false);
  }
  return out;
}

std::string printable_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) show(out, take_character(text), true);
  return out;
}

std::string TerminalText::add(std::string_view bytes) {
  const std::string joined = std::exchange(pending_, {}).append(bytes);
  std::string_view text = joined;
  std::string out;
  while (!text.empty()) {
    if (character_length(text) == 0 && may_become_character(text)) {
      pending_ = text;
      break;
    }
    show(out, take_character(text), true);
  }
  return out;
}

std::string TerminalText::finish() {
  return printable_lines(std::exchange(pending_, {}));
}

}  // namespace trine::cli
