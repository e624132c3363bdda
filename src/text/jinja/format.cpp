#include "text/jinja/format.h"

#include "text/jinja/attributes.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>

namespace trine::jinja {
namespace {

// [[fill]align][sign][#][0][width][grouping][.precision][type]
struct FormatSpec {
  std::string fill = " ";
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false;
  std::int64_t width = 0;
  char grouping = 0;  // , or _
  std::int64_t precision = -1;
  char type = 0;
};

std::int64_t read_number(std::string_view text, std::size_t& at) {
  std::int64_t number = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    number = number * 10 + (text[at] - '0');
    if (number > INT32_MAX) raise_value("Too many decimal digits in format string");
  }
  return number;
}

std::string printed(Budget& budget, double value, char type, std::int64_t precision, bool alternate) {
  budget.check_text(static_cast<std::size_t>(precision) + 400);
  if (!std::isfinite(value)) {
    std::string text = std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
    return type == 'E' || type == 'F' || type == 'G' ? upper(text) : text;
  }
  const char format[] = {'%', alternate ? '#' : '-', '.', '*', type, 0};
  std::string text(static_cast<std::size_t>(precision) + 400, '\0');
  const int size = std::snprintf(text.data(), text.size(), format, static_cast<int>(precision), value);
  text.resize(static_cast<std::size_t>(size));
  budget.charge_bytes(text.size());
  return text;
}

std::string whole_digits(std::int64_t value, char type) {
  const std::uint64_t magnitude =
      value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  const std::string sign = value < 0 ? "-" : "";
  switch (type) {
    case 'x':
      return sign + fmt::format("{:x}", magnitude);
    case 'X':
      return sign + fmt::format("{:X}", magnitude);
    case 'o':
      return sign + fmt::format("{:o}", magnitude);
    case 'b':
      return sign + fmt::format("{:b}", magnitude);
    default:
      return sign + fmt::format("{}", magnitude);
  }
}

std::string grouped(const std::string& number, char separator) {
  const std::size_t begin = number[0] == '-' ? 1 : 0;
  const std::size_t end = std::min(number.find_first_not_of("0123456789", begin), number.size());
  std::string out = number.substr(0, begin);
  for (std::size_t i = begin; i < end; ++i) {
    if (i > begin && (end - i) % 3 == 0) out += separator;
    out += number[i];
  }
  return out + number.substr(end);
}

// To the width, with the sign ahead of what fills under '='.
std::string aligned(Budget& budget, std::string text, const FormatSpec& spec, char usual) {
  const auto size = static_cast<std::int64_t>(count_characters(text));
  if (spec.width <= size) return text;
  const auto missing = static_cast<std::size_t>(spec.width - size);
  budget.check_text(text.size() + missing * spec.fill.size());
  budget.charge_bytes(missing * spec.fill.size());
  const auto fill = [&](std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += spec.fill;
    return out;
  };
  switch (spec.align == 0 ? usual : spec.align) {
    case '<':
      return text + fill(missing);
    case '^':
      return fill(missing / 2) + text + fill(missing - missing / 2);
    case '=': {
      std::size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+' || text[0] == ' ') ? 1 : 0;
      if (spec.alternate && (spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b'))
        sign += 2;
      return text.substr(0, sign) + fill(missing) + text.substr(sign);
    }
    default:
      return fill(missing) + text;
  }
}

std::string signed_text(std::string text, char sign) {
  return sign != '-' && text[0] != '-' ? std::string(1, sign) + text : text;
}

FormatSpec read_spec(std::string_view text) {
  FormatSpec spec;
  std::size_t at = 0;
  const auto is_align = [&](std::size_t i) {
    return i < text.size() && std::string_view("<>^=").find(text[i]) != std::string_view::npos;
  };
  const auto take = [&](std::string_view any, char& into) {
    if (at < text.size() && any.find(text[at]) != std::string_view::npos) into = text[at++];
  };
  const std::size_t first = text.empty() ? 0 : character_at(text, 0).length;
  if (!text.empty() && is_align(first)) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    at = first + 1;
  } else if (is_align(0)) {
    spec.align = text[at++];
  }
  take("+- ", spec.sign);
  char flag = 0;
  take("#", flag);
  spec.alternate = flag != 0;
  char zero = 0;
  take("0", zero);
  if (zero != 0 && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = read_number(text, at);
  take(",_", spec.grouping);
  if (at < text.size() && text[at] == '.') {
    const std::size_t before = ++at;
    spec.precision = read_number(text, at);
    if (at == before) raise_value("Format specifier missing precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) raise_value("Invalid format specifier");
  return spec;
}

[[noreturn]] void raise_format_code(char type, const Value& value) {
  raise_value(fmt::format("Unknown format code '{}' for object of type '{}'", type, type_name(value)));
}

std::string format_real(Budget& budget, const Value& value, const FormatSpec& spec) {
  const double number = value.as_real();
  std::string text;
  if (spec.type == 0) {
    if (spec.precision >= 0) raise_unsupported("this format of a float is not supported");
    text = real_text(number);
  } else if (spec.type == '%') {
    text = printed(budget, number * 100, 'f', spec.precision < 0 ? 6 : spec.precision, spec.alternate) + "%";
  } else if (std::string_view("eEfFgG").find(spec.type) != std::string_view::npos) {
    text = printed(budget, number, spec.type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
  } else {
    raise_format_code(spec.type, value);
  }
  if (spec.grouping != 0) text = grouped(text, spec.grouping);
  if (spec.grouping != 0 && spec.fill == "0") raise_unsupported("this format of a number is not supported");
  return aligned(budget, signed_text(std::move(text), spec.sign), spec, '>');
}
std::string format_whole(Budget& budget, const Value& value, const FormatSpec& spec) {
  if (spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos)
    return format_real(budget, Value::real(value.as_real()), spec);
  if (spec.precision >= 0) raise_value("Precision not allowed in integer format specifier");
  if (spec.type == 'c') raise_unsupported("the format code 'c' is not supported");
  if (spec.type != 0 && std::string_view("bdoxXn").find(spec.type) == std::string_view::npos)
    raise_format_code(spec.type, value);
  std::string text = whole_digits(value.as_integer(), spec.type);
  if (spec.grouping != 0) {
    if (spec.fill == "0" || (spec.type != 0 && spec.type != 'd'))
      raise_unsupported("this format of a number is not supported");
    text = grouped(text, spec.grouping);
  }
  if (spec.alternate && spec.type != 0 && spec.type != 'd' && spec.type != 'n')
    text.insert(text[0] == '-' ? 1 : 0, {'0', spec.type});
  return aligned(budget, signed_text(std::move(text), spec.sign), spec, '>');
}

// format(value, spec)
std::string format_value(Budget& budget, const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return to_text(budget, value);
  if (value.is(Kind::boolean) || value.is(Kind::integer))
    return format_whole(budget, value, read_spec(spec_text));
  if (value.is(Kind::real)) return format_real(budget, value, read_spec(spec_text));
  if (!value.is(Kind::text))
    raise_type(fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
  const FormatSpec spec = read_spec(spec_text);
  if (spec.type != 0 && spec.type != 's') raise_format_code(spec.type, value);
  if (spec.sign != '-') raise_value("Sign not allowed in string format specifier");
  if (spec.grouping != 0) raise_value(fmt::format("Cannot specify '{}' with 's'.", spec.grouping));
  if (spec.align == '=') raise_value("'=' alignment not allowed in string format specifier");
  std::string_view text = value.text();
  if (spec.precision >= 0) text = text.substr(0, offset_of(text, static_cast<std::size_t>(spec.precision)));
  return aligned(budget, std::string(text), spec, '<');
}

// What Python takes for a mapping here, and does not miss when nothing of it is used.
bool has_items(const Value& value) {
  return value.is(Kind::dict) || value.is(Kind::list) || value.is(Kind::range) || value.is(Kind::undefined);
}

class PercentFormatter {
 public:
  PercentFormatter(Budget& budget, std::string_view text, const Value& arguments)
      : budget_(budget), text_(text), arguments_(arguments) {}

  std::string run() {
    std::string out;
    while (at_ < text_.size()) {
      const std::size_t percent = std::min(text_.find('%', at_), text_.size());
      out += text_.substr(at_, percent - at_);
      at_ = percent;
      if (at_ < text_.size()) out += conversion();
      budget_.charge(1);
      budget_.check_text(out.size());
    }
    const bool all =
        arguments_.is(Kind::tuple) ? used_ >= arguments_.items().size() : used_ > 0 || has_items(arguments_);
    if (!all) raise_type("not all arguments converted during string formatting");
    return out;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  Value next_argument() {
    if (arguments_.is(Kind::tuple) ? used_ >= arguments_.items().size() : used_ > 0)
      raise_type("not enough arguments for format string");
    return arguments_.is(Kind::tuple) ? arguments_.items()[used_++] : (++used_, arguments_);
  }
  std::int64_t size_or_star() {
    if (peek() != '*') return read_number(text_, at_);
    ++at_;
    const Value value = next_argument();
    if (!value.is_whole()) raise_type("* wants int");
    return value.as_integer();
  }
  Value named_argument() {
    if (!arguments_.is(Kind::dict)) raise_type("format requires a mapping");
    const std::size_t end = text_.find(')', at_);
    if (end == std::string_view::npos) raise_value("incomplete format key");
    const std::string_view key = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    const Value* found = arguments_.dict().find(key);
    if (found == nullptr) raise("KeyError", quoted_text(key));
    return *found;
  }

  std::string conversion() {
    ++at_;
    std::optional<Value> named;
    if (peek() == '(') named = named_argument();
    FormatSpec spec;
    bool zero = false;
    for (; at_ < text_.size() && std::string_view("-+ #0").find(text_[at_]) != std::string_view::npos;
         ++at_) {
      if (text_[at_] == '-') spec.align = '<';
      if (text_[at_] == '+') spec.sign = '+';
      if (text_[at_] == ' ' && spec.sign != '+') spec.sign = ' ';
      if (text_[at_] == '#') spec.alternate = true;
      if (text_[at_] == '0') zero = true;
    }
    spec.width = size_or_star();
    if (spec.width < 0) {
      spec.align = '<';
      spec.width = -spec.width;
    }
    if (peek() == '.') {
      ++at_;
      spec.precision = std::max<std::int64_t>(size_or_star(), 0);
    }
    while (peek() == 'h' || peek() == 'l' || peek() == 'L') ++at_;
    if (at_ >= text_.size()) raise_value("incomplete format");
    spec.type = text_[at_++];
    if (spec.type == '%') return "%";
    const Value value = named ? *named : next_argument();
    return convert(value, spec, zero);
  }

  std::string convert(const Value& value, FormatSpec spec, bool zero) {
    switch (spec.type) {
      case 's':
      case 'r': {
        const std::string text = spec.type == 's' ? to_text(budget_, value) : repr(budget_, value);
        std::string_view part = text;
        if (spec.precision >= 0)
          part = part.substr(0, offset_of(part, static_cast<std::size_t>(spec.precision)));
        return aligned(budget_, std::string(part), spec, '>');
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return convert_whole(value, spec, zero);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        if (value.is(Kind::undefined)) raise_undefined(value);
        if (!value.is_number()) raise_type(fmt::format("must be real number, not {}", type_name(value)));
        std::string text = printed(budget_, value.as_real(), spec.type,
                                   spec.precision < 0 ? 6 : spec.precision, spec.alternate);
        return pad(signed_text(std::move(text), spec.sign), spec, zero);
      }
      case 'c':
        return aligned(budget_, character(value), spec, '>');
      case 'a':
        raise_unsupported(fmt::format("the format character '{}' is not supported", spec.type));
      default:
        raise_value(fmt::format("unsupported format character '{}' (0x{:x}) at index {}", spec.type,
                                static_cast<unsigned char>(spec.type),
                                count_characters(text_.substr(0, at_ - 1))));
    }
  }
  static std::string character(const Value& value) {
    if (value.is(Kind::text) && count_characters(value.text()) == 1) return std::string(value.text());
    if (!value.is_whole()) raise_type("%c requires int or char");
    const std::int64_t code = value.as_integer();
    if (code < 0 || code > 0x10FFFF) raise("OverflowError", "%c arg not in range(0x110000)");
    if (code >= 0xD800 && code < 0xE000) raise_unsupported("half of a surrogate pair is not supported");
    std::string text;
    append_character(text, static_cast<char32_t>(code));
    return text;
  }
  std::string convert_whole(const Value& value, FormatSpec spec, bool zero) {
    if (value.is(Kind::undefined)) raise_undefined(value);
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    if (!decimal && !value.is_whole())
      raise_type(fmt::format("%{} format: an integer is required, not {}", spec.type, type_name(value)));
    if (!value.is_number())
      raise_type(fmt::format("%{} format: a real number is required, not {}", spec.type, type_name(value)));
    std::int64_t number = value.as_integer();
    if (value.is(Kind::real)) {
      const double whole = std::trunc(value.as_real());
      if (!(std::abs(whole) < 9.2e18)) raise_unsupported("whole numbers past 64 bits are not supported");
      number = static_cast<std::int64_t>(whole);
    }
    std::string digits = whole_digits(number, decimal ? 'd' : spec.type);
    const std::size_t begin = digits[0] == '-' ? 1 : 0;
    if (spec.precision > static_cast<std::int64_t>(digits.size() - begin)) {
      budget_.check_text(static_cast<std::size_t>(spec.precision));
      digits.insert(begin, static_cast<std::size_t>(spec.precision) - (digits.size() - begin), '0');
    }
    if (spec.alternate && !decimal) digits.insert(begin, {'0', spec.type});
    return pad(signed_text(std::move(digits), spec.sign), spec, zero);
  }
  std::string pad(std::string text, FormatSpec& spec, bool zero) {
    if (zero && spec.align == 0) {
      spec.fill = "0";
      spec.align = '=';
    }
    return aligned(budget_, std::move(text), spec, '>');
  }

  Budget& budget_;
  std::string_view text_;
  const Value& arguments_;
  std::size_t at_ = 0, used_ = 0;
};

class BracesFormatter {
 public:
  BracesFormatter(Interpreter& interpreter, const Arguments& arguments)
      : interpreter_(interpreter), budget_(interpreter.budget()), arguments_(arguments) {}

  std::string run(std::string_view text, int levels) {
    if (levels < 0) raise_value("Max string recursion exceeded");
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const char c = text[at++];
      budget_.check_text(out.size());
      if (c != '{' && c != '}') {
        out += c;
        continue;
      }
      if (at < text.size() && text[at] == c) {
        out += c;
        ++at;
        continue;
      }
      if (c == '}') raise_value("Single '}' encountered in format string");
      if (at >= text.size()) raise_value("Single '{' encountered in format string");
      std::size_t end = at;
      for (int open = 1; end < text.size(); ++end) {
        open += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
        if (open == 0) break;
      }
      if (end >= text.size()) raise_value("expected '}' before end of string");
      out += field(text.substr(at, end - at), levels);
      at = end + 1;
    }
    return out;
  }

 private:
  std::string field(std::string_view text, int levels) {
    budget_.charge(1);
    std::size_t name_end = 0;
    for (bool bracket = false; name_end < text.size(); ++name_end) {
      if (text[name_end] == '[') bracket = true;
      if (text[name_end] == ']') bracket = false;
      if (!bracket && (text[name_end] == ':' || text[name_end] == '!')) break;
    }
    Value value = look_up(text.substr(0, name_end));
    std::string_view rest = text.substr(name_end);
    if (!rest.empty() && rest[0] == '!') {
      if (rest.size() < 2) raise_value("end of string while looking for conversion specifier");
      if (rest[1] == 'r')
        value = budget_.text(repr(budget_, value));
      else if (rest[1] == 's')
        value = budget_.text(to_text(budget_, value));
      else
        raise_unsupported(fmt::format("the conversion '!{}' is not supported", rest[1]));
      rest.remove_prefix(2);
      if (!rest.empty() && rest[0] != ':') raise_value("expected ':' after conversion specifier");
    }
    const std::string spec = rest.empty() ? "" : run(rest.substr(1), levels - 1);
    return format_value(budget_, value, spec);
  }

  Value look_up(std::string_view name) {
    const std::size_t first_end = std::min(name.find_first_of(".["), name.size());
    Value value = first(name.substr(0, first_end));
    for (std::size_t at = first_end; at < name.size();) {
      if (name[at] == '.') {
        const std::size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        if (end == at + 1) raise_value("Empty attribute in format string");
        value = attribute_of(interpreter_, value, name.substr(at + 1, end - at - 1));
        at = end;
      } else {
        const std::size_t end = name.find(']', at);
        if (end == std::string_view::npos) raise_value("Missing ']' in format string");
        if (end == at + 1) raise_value("Empty attribute in format string");
        value = subscript(interpreter_, value, index(name.substr(at + 1, end - at - 1)));
        at = end + 1;
        if (at < name.size() && name[at] != '.' && name[at] != '[')
          raise_value("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }
  Value index(std::string_view text) {
    if (text.find_first_not_of("0123456789") != std::string_view::npos)
      return budget_.text(std::string(text));
    std::size_t at = 0;
    return Value::integer(read_number(text, at));
  }
  Value first(std::string_view name) {
    const bool automatic = name.empty();
    if (automatic || name.find_first_not_of("0123456789") == std::string_view::npos) {
      if (numbering_ != Numbering::open && automatic != (numbering_ == Numbering::automatic))
        raise_value("cannot switch from manual field specification to automatic field numbering");
      numbering_ = automatic ? Numbering::automatic : Numbering::manual;
      std::size_t at = 0;
      const std::size_t number = automatic ? next_++ : static_cast<std::size_t>(read_number(name, at));
      if (number >= arguments_.positional.size()) raise("IndexError", "tuple index out of range");
      return arguments_.positional[number];
    }
    for (const auto& [key, value] : arguments_.named)
      if (key == name) return value;
    raise("KeyError", quoted_text(name));
  }

  enum class Numbering : std::uint8_t { open, automatic, manual };
  Interpreter& interpreter_;
  Budget& budget_;
  const Arguments& arguments_;
  Numbering numbering_ = Numbering::open;
  std::size_t next_ = 0;
};

}  // namespace

Value format_percent(Budget& budget, const Value& text, const Value& arguments) {
  if (text.is_markup()) raise_unsupported("formatting a text marked safe is not supported");
  budget.charge_bytes(text.text().size());
  return budget.text(PercentFormatter(budget, text.text(), arguments).run());
}
Value format_braces(Interpreter& interpreter, const Value& text, const Arguments& arguments) {
  if (text.is_markup()) raise_unsupported("formatting a text marked safe is not supported");
  interpreter.budget().charge_bytes(text.text().size());
  return interpreter.budget().text(BracesFormatter(interpreter, arguments).run(text.text(), 2));
}

}  // namespace trine::jinja
