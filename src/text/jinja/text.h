#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Text as Python sees it: a sequence of code points. Here it is bytes, of which those that are no UTF-8 count
// as one code point each (past U+10FFFF, so that they are nothing in particular) and come out as they went
// in.
namespace trine::jinja {

struct Character {
  char32_t code;
  std::size_t length;  // in bytes
};
// `at` must be inside.
Character character_at(std::string_view text, std::size_t at);
void append_character(std::string& text, char32_t code);  // the inverse, for stray bytes too

bool is_ascii(std::string_view text);
std::size_t count_characters(std::string_view text);
// Of the character with this number; text.size() past the last.
std::size_t offset_of(std::string_view text, std::size_t number);
std::vector<char32_t> characters(std::string_view text);
std::string from_characters(const std::vector<char32_t>& characters);
std::string reversed(std::string_view text);

bool is_space(char32_t code);  // str.isspace
bool is_printable(char32_t code);
bool is_alphabetic(char32_t code);
bool is_decimal(char32_t code);
bool is_digit(char32_t code);
bool is_numeric(char32_t code);
bool is_lowercase(char32_t code);
bool is_uppercase(char32_t code);
bool is_titlecase(char32_t code);
inline bool is_word(char32_t code) {  // \w of Python's re
  return is_alphabetic(code) || is_numeric(code) || code == '_';
}

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string title(std::string_view text);       // str.title
std::string capitalize(std::string_view text);  // str.capitalize
std::string swap_case(std::string_view text);

// Without `characters` (or white space, if none are given) at its ends.
std::string_view strip(std::string_view text, std::optional<std::string_view> characters, bool left,
                       bool right);

// Byte offset of the first `what` at or after `from`, or npos. Takes time in proportion to both lengths.
std::size_t find_text(std::string_view text, std::string_view what, std::size_t from = 0);
std::size_t find_last(std::string_view text, std::string_view what);
std::size_t count_text(std::string_view text, std::string_view what);
// `limit` < 0: all.
std::string replace_text(std::string_view text, std::string_view old, std::string_view with, long long limit);
// The parts of str.split, str.rsplit and str.splitlines. `separator` may be absent, for white space, but not
// empty.
std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    long long limit);
std::vector<std::string_view> split_from_right(std::string_view text,
                                               std::optional<std::string_view> separator, long long limit);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

}  // namespace trine::jinja
