#pragma once

#include <cstddef>
#include <string_view>

namespace trine::text {

// What stands at the start of a byte string. Source: the Unicode standard, section 3.9, table 3-7
// (well-formed UTF-8) and "U+FFFD Substitution of Maximal Subparts".
struct Utf8Unit {
  enum class Kind {
    character,   // a whole character of `length` bytes
    ill_formed,  // `length` bytes that no continuation can repair (a maximal subpart)
    unfinished,  // all `length` remaining bytes are the beginning of a character
  };
  Kind kind;
  std::size_t length;
};

// `bytes` must not be empty.
Utf8Unit first_utf8_unit(std::string_view bytes);

// Offset of the first byte at or after `from` that is no part of a well-formed character; bytes.size() when
// there is none. `from` must be a character boundary.
std::size_t find_ill_formed(std::string_view bytes, std::size_t from);

}  // namespace trine::text
