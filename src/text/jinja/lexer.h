#pragma once

#include "text/jinja/value.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trine::jinja {

struct Token {
  enum class Type : std::uint8_t {
    data,
    block_begin,
    block_end,
    variable_begin,
    variable_end,
    name,
    text,
    integer,
    real,
    symbol,
    end
  };
  Type type;
  int line;
  std::string text;  // of a name, a symbol, a string (unescaped) or template data
  Value number = {};

  bool is(Type other) const { return type == other; }
  bool is_symbol(std::string_view what) const { return type == Type::symbol && text == what; }
  bool is_name(std::string_view what) const { return type == Type::name && text == what; }
  // As Jinja's messages call it: "end of print statement", "integer", ",".
  std::string described() const;
};

// The whole template as tokens, the last of type `end`; white space is already cut as trim_blocks,
// lstrip_blocks, `-` and `+` say. Raises TemplateSyntaxError, or unsupported.
std::vector<Token> tokenize(std::string_view source);

[[noreturn]] void raise_syntax(std::string message, int line);

}  // namespace trine::jinja
