#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Text from models and files must not drive a terminal. What could is spelt out: control characters (C0, DEL,
// C1), the controls that turn the direction of writing (U+202A to U+202E, U+2066 to U+2069; "Trojan Source",
// Boucher and Anderson 2021), and bytes that are no UTF-8. Each becomes \n, \t, \r or, byte by byte, \xNN.

namespace trine::cli {

// Safe and on one line. Past `max_characters` (0: no limit) it ends in "… (N bytes)".
std::string printable(std::string_view text, std::size_t max_characters = 0);

// Safe, with newlines and tabs as they are.
std::string printable_lines(std::string_view text);

// A JSON text with what could drive a terminal spelt \uNNNN: safe, and still the same JSON.
std::string printable_json(std::string_view json);

// printable_lines() of a text that comes in pieces, which may end within a character.
class TerminalText {
 public:
  // What can be shown once `bytes` have come.
  std::string add(std::string_view bytes);
  // The beginning of a character that never came to its end.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace trine::cli
