#include "text/jinja/lexer.h"

#include "text/jinja/print.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace trine::jinja {
namespace {

constexpr auto nowhere = std::string_view::npos;

// Line ends become \n, and one at the very end goes.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (static_cast<unsigned char>(c | 32) >= 'a' && static_cast<unsigned char>(c | 32) <= 'z') || c == '_';
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)), text_(source_) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) {
      const std::size_t open = find_tag(at_);
      if (open == nowhere) {
        add_data(text_.substr(at_));
        break;
      }
      lex_tag(open);
    }
    add(Token::Type::end, {});
    return std::move(tokens_);
  }

 private:
  struct RawTag {
    std::size_t length;
    char sign;
  };

  std::size_t find_tag(std::size_t from) const {
    for (std::size_t at = from; (at = text_.find('{', at)) != nowhere; ++at)
      if (at + 1 < text_.size() && (text_[at + 1] == '%' || text_[at + 1] == '{' || text_[at + 1] == '#'))
        return at;
    return nowhere;
  }
  char byte(std::size_t at) const { return at < text_.size() ? text_[at] : '\0'; }
  std::size_t skip_spaces(std::size_t at) const {
    return text_.size() - strip(text_.substr(std::min(at, text_.size())), std::nullopt, true, false).size();
  }
  void add(Token::Type type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }
  void add_data(std::string_view data) {
    if (!data.empty()) add(Token::Type::data, std::string(data));
  }
  void count_lines(std::string_view passed) {
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
  }
  void advance(std::size_t to) {
    count_lines(text_.substr(at_, to - at_));
    line_starting_ = to > at_ ? text_[to - 1] == '\n' : line_starting_;
    at_ = to;
  }

  // {% raw %} or, after `from`, {% endraw %}: `word` between the marks.
  std::optional<RawTag> raw_tag(std::size_t at, std::string_view word) const {
    if (byte(at) != '{' || byte(at + 1) != '%') return std::nullopt;
    std::size_t end = at + 2;
    char sign = 0;
    if (byte(end) == '-' || byte(end) == '+') sign = text_[end++];
    end = skip_spaces(end);
    if (text_.substr(end, word.size()) != word) return std::nullopt;
    end = skip_spaces(end + word.size());
    const bool begins = word == "raw";
    if (text_.substr(end, 3) == "-%}") return RawTag{skip_spaces(end + 3) - at, sign};
    if (!begins && text_.substr(end, 3) == "+%}") return RawTag{end + 3 - at, sign};
    if (text_.substr(end, 2) != "%}") return std::nullopt;
    end += 2;
    if (!begins && byte(end) == '\n') ++end;
    return RawTag{end - at, sign};
  }

  // Template data ahead of a tag, without the white space that the tag takes.
  std::string_view before_tag(std::string_view data, char sign, bool variable) const {
    if (sign == '-') return strip(data, std::nullopt, false, true);
    if (sign == '+' || variable) return data;
    const std::size_t line = data.rfind('\n') + 1;
    if (line == 0 && !line_starting_) return data;
    return strip(data.substr(line), std::nullopt, true, false).empty() ? data.substr(0, line) : data;
  }

  void lex_tag(std::size_t open) {
    const std::string_view data = text_.substr(at_, open - at_);
    if (const auto raw = raw_tag(open, "raw")) {
      add_data(before_tag(data, raw->sign, false));
      advance(open + raw->length);
      lex_raw();
      return;
    }
    const char kind = text_[open + 1];
    const char sign = byte(open + 2) == '-' || byte(open + 2) == '+' ? text_[open + 2] : '\0';
    add_data(before_tag(data, sign, kind == '{'));
    advance(open + 2 + (sign != 0 ? 1 : 0));
    if (kind == '#') {
      lex_comment();
    } else {
      add(kind == '%' ? Token::Type::block_begin : Token::Type::variable_begin, {});
      lex_inside(kind == '%');
    }
  }
  void lex_comment() {
    const std::size_t end = text_.find("#}", at_);
    if (end == nowhere) raise_syntax("Missing end of comment tag", line_);
    const char sign = end > at_ ? text_[end - 1] : '\0';
    std::size_t after = end + 2;
    if (sign == '-')
      after = skip_spaces(after);
    else if (sign != '+' && byte(after) == '\n')
      ++after;
    advance(after);
  }
  void lex_raw() {
    for (std::size_t at = at_; (at = text_.find("{%", at)) != nowhere; ++at) {
      const auto end = raw_tag(at, "endraw");
      if (!end) continue;
      add_data(before_tag(text_.substr(at_, at - at_), end->sign, false));
      advance(at + end->length);
      return;
    }
    raise_syntax("Missing end of raw directive", line_);
  }

  // The end of the tag, if it stands here.
  bool lex_tag_end(bool block) {
    const std::string_view mark = block ? "%}" : "}}";
    const char sign = byte(at_);
    const bool is_signed = sign == '-' || (block && sign == '+');
    if (text_.substr(at_ + (is_signed ? 1 : 0), 2) != mark) return false;
    std::size_t end = at_ + (is_signed ? 3 : 2);
    if (sign == '-')
      end = skip_spaces(end);
    else if (block && !is_signed && byte(end) == '\n')
      ++end;
    add(block ? Token::Type::block_end : Token::Type::variable_end, {});
    advance(end);
    return true;
  }

  void lex_inside(bool block) {
    std::string open;  // the brackets that wait to be closed, by what closes them
    while (at_ < text_.size()) {
      if (open.empty() && lex_tag_end(block)) return;
      const char c = text_[at_];
      if (const std::size_t spaces = skip_spaces(at_); spaces > at_)
        advance(spaces);
      else if (is_ascii_digit(c))
        lex_number();
      else if (is_name_start(c))
        lex_name();
      else if (c == '"' || c == '\'')
        lex_string();
      else
        lex_symbol(open);
    }
  }

  void lex_name() {
    std::size_t end = at_;
    while (end < text_.size() && (is_name_start(text_[end]) || is_ascii_digit(text_[end]))) ++end;
    if (end < text_.size() && static_cast<unsigned char>(text_[end]) >= 0x80)
      raise_unsupported("names with characters past ASCII are not supported", line_);
    add(Token::Type::name, std::string(text_.substr(at_, end - at_)));
    advance(end);
  }

  // Digits with single underscores between them, from `at`.
  template <typename Accepts>
  std::size_t digits_end(std::size_t at, Accepts accepts) const {
    while (at < text_.size() &&
           (accepts(text_[at]) || (text_[at] == '_' && at + 1 < text_.size() && accepts(text_[at + 1]) &&
                                   at > 0 && accepts(text_[at - 1]))))
      ++at;
    return at;
  }
  void lex_number() {
    const auto digit = is_ascii_digit;
    const std::size_t whole = digits_end(at_, digit);
    std::size_t end = whole;
    bool real = false;
    if (at_ == 0 || text_[at_ - 1] != '.') {
      if (byte(end) == '.' && is_ascii_digit(byte(end + 1))) {
        end = digits_end(end + 1, digit);
        real = true;
      }
      std::size_t power = end + 1;
      if ((byte(end) | 32) == 'e') {
        if (byte(power) == '+' || byte(power) == '-') ++power;
        if (is_ascii_digit(byte(power))) {
          end = digits_end(power, digit);
          real = true;
        }
      }
    }
    real ? lex_real(end) : lex_integer(whole);
  }
  void lex_real(std::size_t end) {
    std::string digits(text_.substr(at_, end - at_));
    std::erase(digits, '_');
    double value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (result.ec != std::errc()) raise_unsupported("a float past what 64 bits hold is not supported", line_);
    add(Token::Type::real, {});
    tokens_.back().number = Value::real(value);
    advance(end);
  }
  void lex_integer(std::size_t decimal_end) {
    int base = 10;
    std::size_t begin = at_, end = decimal_end;
    if (text_[at_] == '0') {
      const char mark = static_cast<char>(byte(at_ + 1) | 32);
      base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
      const auto accepts = [base](char c) {
        const int value = is_ascii_digit(c)                    ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                               : 99;
        return value < base;
      };
      const std::size_t first = at_ + 2 + (byte(at_ + 2) == '_' ? 1 : 0);
      if (base != 10 && first < text_.size() && accepts(text_[first])) {
        begin = first;
        end = digits_end(first, accepts);
      } else {  // zeros alone
        base = 10;
        end = digits_end(at_, [](char c) { return c == '0'; });
      }
    }
    std::string digits(text_.substr(begin, end - begin));
    std::erase(digits, '_');
    std::int64_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (result.ec != std::errc()) raise_unsupported("whole numbers past 64 bits are not supported", line_);
    add(Token::Type::integer, std::to_string(value));
    tokens_.back().number = Value::integer(value);
    advance(end);
  }

  void lex_symbol(std::string& open) {
    static constexpr std::string_view twos[] = {"//", "**", "==", "!=", ">=", "<="};
    std::string_view symbol = text_.substr(at_, 1);
    for (const std::string_view two : twos)
      if (text_.substr(at_, 2) == two) symbol = two;
    if (symbol.size() == 1 && std::string_view("+-/*%~[](){}><=.:|,;").find(symbol) == nowhere) {
      const std::size_t size = character_at(text_, at_).length;
      if (static_cast<unsigned char>(text_[at_]) >= 0x80)
        raise_unsupported(fmt::format("the character {} outside a string is not supported",
                                      quoted_text(text_.substr(at_, size))),
                          line_);
      raise_syntax(fmt::format("unexpected char {} at {}", quoted_text(symbol),
                               count_characters(text_.substr(0, at_))),
                   line_);
    }
    const char c = symbol[0];
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) raise_syntax(fmt::format("unexpected '{}'", c), line_);
      const char expected = open.back();
      open.pop_back();
      if (expected != c) raise_syntax(fmt::format("unexpected '{}', expected '{}'", c, expected), line_);
    }
    add(Token::Type::symbol, std::string(symbol));
    advance(at_ + symbol.size());
  }

  void lex_string() {
    const char quote = text_[at_];
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size())
      raise_syntax(fmt::format("unexpected char {} at {}", quoted_text(text_.substr(at_, 1)),
                               count_characters(text_.substr(0, at_))),
                   line_);
    add(Token::Type::text, unescaped(text_.substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
  }

  [[noreturn]] void raise_escape(std::string_view form) const {
    raise_syntax(fmt::format("truncated {} escape", form), line_);
  }
  // As Python's "unicode-escape" reads it.
  std::string unescaped(std::string_view literal) const {
    std::string out;
    for (std::size_t at = 0; at < literal.size();) {
      if (literal[at] != '\\') {
        out += literal[at++];
        continue;
      }
      ++at;
      const char c = literal[at];
      static constexpr std::string_view names = "\n\\'\"abfnrtv",
                                        codes = std::string_view("\0\\'\"\a\b\f\n\r\t\v", 11);
      if (const std::size_t simple = names.find(c); simple != nowhere) {
        if (simple > 0) out += codes[simple];
        ++at;
      } else if (c >= '0' && c <= '7') {
        append_escape(out, literal, at, 3, 8);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const std::size_t length = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        const std::size_t from = ++at;
        append_escape(out, literal, at, length, 16);
        if (at - from != length) raise_escape(c == 'x' ? "\\xXX" : c == 'u' ? "\\uXXXX" : "\\UXXXXXXXX");
      } else if (c == 'N') {
        raise_unsupported("\\N{…} in a string is not supported", line_);
      } else {
        out += '\\';
        at += append_unknown(out, literal, at);
      }
    }
    return out;
  }
  // Behind a backslash that means nothing a character past ASCII turns into the digits that Python writes it
  // with.
  static std::size_t append_unknown(std::string& out, std::string_view literal, std::size_t at) {
    const auto [code, length] = character_at(literal, at);
    if (code < 0x80 || code > 0x10FFFF)
      out += literal.substr(at, length);
    else if (code < 0x100)
      out += fmt::format("x{:02x}", static_cast<unsigned>(code));
    else if (code < 0x10000)
      out += fmt::format("u{:04x}", static_cast<unsigned>(code));
    else
      out += fmt::format("U{:08x}", static_cast<unsigned>(code));
    return length;
  }
  void append_escape(std::string& out, std::string_view literal, std::size_t& at, std::size_t most,
                     int base) const {
    std::uint32_t code = 0;
    const std::string_view digits = literal.substr(at, most);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
    at += static_cast<std::size_t>(result.ptr - digits.data());
    if (code > 0x10FFFF) raise_syntax("illegal Unicode character", line_);
    if (code >= 0xD800 && code < 0xE000)
      raise_unsupported("half of a surrogate pair in a string is not supported", line_);
    append_character(out, code);
  }

  std::string source_;
  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

void raise_syntax(std::string message, int line) {
  throw Raised{.code = ErrorCode::unsupported,
               .kind = "TemplateSyntaxError",
               .message = std::move(message),
               .line = line};
}

std::string Token::described() const {
  switch (type) {
    case Type::data:
      return "template data / text";
    case Type::block_begin:
      return "begin of statement block";
    case Type::block_end:
      return "end of statement block";
    case Type::variable_begin:
      return "begin of print statement";
    case Type::variable_end:
      return "end of print statement";
    case Type::name:
    case Type::symbol:
      return text;
    case Type::text:
      return "string";
    case Type::integer:
      return "integer";
    case Type::real:
      return "float";
    case Type::end:
      return "end of template";
  }
  return {};
}

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace trine::jinja
