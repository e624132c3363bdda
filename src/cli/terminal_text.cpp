#include "cli/terminal_text.h"

#include "text/utf8.h"

#include <fmt/format.h>
#include <utility>

namespace trine::cli {
namespace {

using text::Utf8Unit;

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
  const Utf8Unit unit = text::first_utf8_unit(text);
  const std::string_view character = text.substr(0, unit.kind == Utf8Unit::Kind::character ? unit.length : 1);
  text.remove_prefix(character.size());
  return character;
}

void show(std::string& out, std::string_view character, bool lines) {
  const bool is_layout = lines && (character == "\n" || character == "\t");
  const bool is_safe =
      text::first_utf8_unit(character).kind == Utf8Unit::Kind::character && !drives_a_terminal(character);
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

std::string printable_json(std::string_view json) {
  std::string out;
  while (!json.empty()) {
    const std::string_view character = take_character(json);
    const auto byte = [&](std::size_t i) {
      return static_cast<unsigned>(static_cast<unsigned char>(character[i]));
    };
    if (character == "\n" || !drives_a_terminal(character)) {
      out += character;
    } else if (character.size() == 1) {
      out += fmt::format("\\u{:04x}", byte(0));
    } else if (character.size() == 2) {
      out += fmt::format("\\u{:04x}", (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F));
    } else {
      out += fmt::format("\\u{:04x}", (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F));
    }
  }
  return out;
}

std::string TerminalText::add(std::string_view bytes) {
  const std::string joined = std::exchange(pending_, {}).append(bytes);
  std::string_view text = joined;
  std::string out;
  while (!text.empty()) {
    if (text::first_utf8_unit(text).kind == Utf8Unit::Kind::unfinished) {
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
