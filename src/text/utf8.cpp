#include "text/utf8.h"

#include <cstdint>
#include <cstring>

namespace trine::text {
namespace {

struct ByteRange {
  unsigned char low, high;
};

// Overlong forms, surrogates and values past U+10FFFF show in the second byte.
ByteRange second_byte_range(unsigned char lead) {
  switch (lead) {
    case 0xE0:
      return {0xA0, 0xBF};
    case 0xED:
      return {0x80, 0x9F};
    case 0xF0:
      return {0x90, 0xBF};
    case 0xF4:
      return {0x80, 0x8F};
    default:
      return {0x80, 0xBF};
  }
}

// Of a character that starts with `lead`; 0 when none does.
std::size_t character_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

bool eight_ascii_bytes(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return (word & 0x8080808080808080u) == 0;
}

}  // namespace

Utf8Unit first_utf8_unit(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  const std::size_t length = character_length(lead);
  if (length == 0) return {Utf8Unit::Kind::ill_formed, 1};
  ByteRange range = second_byte_range(lead);
  for (std::size_t i = 1; i < length; ++i, range = {0x80, 0xBF}) {
    if (i == bytes.size()) return {Utf8Unit::Kind::unfinished, i};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte < range.low || byte > range.high) return {Utf8Unit::Kind::ill_formed, i};
  }
  return {Utf8Unit::Kind::character, length};
}

std::size_t find_ill_formed(std::string_view bytes, std::size_t from) {
  std::size_t at = from;
  while (at < bytes.size()) {
    if (bytes.size() - at >= 8 && eight_ascii_bytes(bytes.data() + at)) {
      at += 8;
      continue;
    }
    const Utf8Unit unit = first_utf8_unit(bytes.substr(at));
    if (unit.kind != Utf8Unit::Kind::character) break;
    at += unit.length;
  }
  return at;
}

}  // namespace trine::text
