// What single characters are, and their cases.
#include "text/jinja/text.h"
#include "text/jinja/unicode_tables.h"

#include "text/jinja/value.h"
#include "text/utf8.h"

#include <algorithm>

namespace trine::jinja {
namespace {

constexpr char32_t stray_byte = 0x110000;

template <typename Row>
const Row* row_of(std::span<const Row> rows, char32_t code) {
  const auto row =
      std::partition_point(rows.begin(), rows.end(), [code](const Row& r) { return r.last < code; });
  const bool inside = row != rows.end() && code >= row->first && (code - row->first) % row->step == 0;
  return inside ? &*row : nullptr;
}
bool among(std::span<const CharacterRow> rows, char32_t code) {
  return row_of(rows, code) != nullptr;
}

void append_image(std::string& out, char32_t code, std::span<const ImageRow> one,
                  std::span<const ImagesRow> several) {
  if (const ImageRow* row = row_of(one, code)) {
    append_character(out, static_cast<char32_t>(static_cast<int>(code) + row->distance));
    return;
  }
  const auto row = std::lower_bound(several.begin(), several.end(), code,
                                    [](const ImagesRow& r, char32_t c) { return r.character < c; });
  if (row == several.end() || row->character != code) {
    append_character(out, code);
    return;
  }
  for (const char32_t image : row->image)
    if (image != 0) append_character(out, image);
}

void append_upper(std::string& out, char32_t code) {
  if (code < 0x80)
    out += static_cast<char>(code >= 'a' && code <= 'z' ? code - 32 : code);
  else
    append_image(out, code, upper_images, upper_several);
}
void append_lower(std::string& out, char32_t code) {
  // Python looks at the neighbours of a capital sigma: it becomes another letter at the end of a word.
  if (code == 0x3A3) raise_unsupported("the lower case of a Greek capital sigma is not supported");
  if (code < 0x80)
    out += static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code);
  else
    append_image(out, code, lower_images, lower_several);
}
void append_title(std::string& out, char32_t code) {
  if (code < 0x80)
    append_upper(out, code);
  else
    append_image(out, code, title_images, title_several);
}

}  // namespace

Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const auto unit = text::first_utf8_unit(text.substr(at, 4));
  if (unit.kind != text::Utf8Unit::Kind::character) return {stray_byte + byte(0), 1};
  char32_t code = byte(0) & (0xFFu >> (unit.length + 1));
  for (std::size_t i = 1; i < unit.length; ++i) code = code << 6 | (byte(i) & 0x3Fu);
  return {code, unit.length};
}

void append_character(std::string& text, char32_t code) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else if (code < stray_byte) {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(code - stray_byte);
  }
}

bool is_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}
bool is_printable(char32_t code) {
  return code < 0x80 ? code >= 0x20 && code != 0x7F : !among(unprintable_characters, code);
}
bool is_alphabetic(char32_t code) {
  return code < 0x80 ? (code | 32) >= 'a' && (code | 32) <= 'z' : among(alphabetic_characters, code);
}
bool is_decimal(char32_t code) {
  return code < 0x80 ? code >= '0' && code <= '9' : among(decimal_characters, code);
}
bool is_digit(char32_t code) {
  return code < 0x80 ? is_decimal(code) : among(digit_characters, code);
}
bool is_numeric(char32_t code) {
  return code < 0x80 ? is_decimal(code) : among(numeric_characters, code);
}
bool is_lowercase(char32_t code) {
  return code < 0x80 ? code >= 'a' && code <= 'z' : among(lowercase_characters, code);
}
bool is_uppercase(char32_t code) {
  return code < 0x80 ? code >= 'A' && code <= 'Z' : among(uppercase_characters, code);
}
bool is_titlecase(char32_t code) {
  return code >= 0x80 && among(titlecase_characters, code);
}

std::string upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = character_at(text, at);
    append_upper(out, code);
    at += length;
  }
  return out;
}
std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = character_at(text, at);
    append_lower(out, code);
    at += length;
  }
  return out;
}
std::string title(std::string_view text) {
  std::string out;
  bool after_cased = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = character_at(text, at);
    after_cased ? append_lower(out, code) : append_title(out, code);
    after_cased = is_lowercase(code) || is_uppercase(code) || is_titlecase(code);
    at += length;
  }
  return out;
}
std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const auto [code, length] = character_at(text, 0);
  std::string out;
  append_title(out, code);
  return out + lower(text.substr(length));
}
std::string swap_case(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = character_at(text, at);
    is_uppercase(code) ? append_lower(out, code) : append_upper(out, code);
    at += length;
  }
  return out;
}

}  // namespace trine::jinja
