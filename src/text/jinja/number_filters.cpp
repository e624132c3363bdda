// Filters that make a number.
#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace trine::jinja {
namespace {

// The digits of a number as Python accepts them in a string: white space around, underscores between digits;
// nothing where an underscore stands elsewhere.
std::optional<std::string> plain_number(std::string_view text) {
  text = strip(text, std::nullopt, true, true);
  if (!is_ascii(text)) {
    for (const char32_t code : characters(text))
      if (code >= 0x80 && is_decimal(code)) raise_unsupported("reading digits past ASCII is not supported");
    return std::nullopt;
  }
  const auto alphanumeric = [&](std::size_t i) {
    return i < text.size() && (is_decimal(static_cast<unsigned char>(text[i])) ||
                               is_alphabetic(static_cast<unsigned char>(text[i])));
  };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      plain += text[i];
      continue;
    }
    if (i == 0 || !alphanumeric(i - 1) || !alphanumeric(i + 1)) return std::nullopt;
  }
  return plain;
}

std::optional<std::int64_t> parse_whole(std::string_view text, std::int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;  // a ValueError as well
  const auto plain = plain_number(text);
  if (!plain || plain->empty()) return std::nullopt;
  std::string_view digits = *plain;
  const bool negative = digits[0] == '-';
  if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 32);
    const std::int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked != 0 && (base == marked || base == 0)) {
      digits.remove_prefix(2);
      base = marked;
    } else if (base == 0 && digits.find_first_not_of('0') != std::string_view::npos) {
      return std::nullopt;
    }
  }
  if (base == 0) base = 10;
  std::uint64_t magnitude = 0;
  const auto result =
      std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, static_cast<int>(base));
  if (result.ptr != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range || magnitude > INT64_MAX)
    raise_unsupported("whole numbers past 64 bits are not supported");
  if (result.ec != std::errc()) return std::nullopt;
  return negative ? -static_cast<std::int64_t>(magnitude) : static_cast<std::int64_t>(magnitude);
}

std::optional<double> parse_real(std::string_view text) {
  const auto plain = plain_number(text);
  if (!plain || plain->empty()) return std::nullopt;
  std::string_view digits = *plain;
  const bool negative = digits[0] == '-';
  if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
  const std::string word = lower(digits);
  double value = 0;
  if (word == "inf" || word == "infinity") {
    value = HUGE_VAL;
  } else if (word == "nan") {
    value = std::nan("");
  } else {
    if (word.find_first_not_of("0123456789.e+-") != std::string::npos) return std::nullopt;
    const auto result = std::from_chars(word.data(), word.data() + word.size(), value);
    if (result.ptr != word.data() + word.size() || word.empty()) return std::nullopt;
    if (result.ec == std::errc::result_out_of_range)
      value = std::strtod(word.c_str(), nullptr);
    else if (result.ec != std::errc())
      return std::nullopt;
  }
  return negative ? -value : value;
}

std::int64_t to_whole(double value) {
  if (std::isnan(value)) raise_value("cannot convert float NaN to integer");
  if (std::isinf(value)) raise("OverflowError", "cannot convert float infinity to integer");
  if (!(std::abs(value) < 9223372036854775808.0))
    raise_unsupported("whole numbers past 64 bits are not supported");
  return static_cast<std::int64_t>(value);
}

Value as_whole(const BuiltinCall& call) {
  const Value& value = call.value;
  const Value otherwise = call.bound[0].is(Kind::missing) ? Value::integer(0) : call.bound[0];
  if (value.is(Kind::undefined)) raise_undefined(value);
  if (value.is_whole()) return Value::integer(value.as_integer());
  if (value.is(Kind::real))
    return std::isnan(value.as_real()) ? otherwise : Value::integer(to_whole(value.as_real()));
  if (!value.is(Kind::text)) return otherwise;
  call.budget().charge_bytes(value.text().size());
  const std::int64_t base = whole_argument(call.bound[1], 10);
  if (const auto whole = parse_whole(value.text(), base)) return Value::integer(*whole);
  const auto real = parse_real(value.text());
  return real && std::isfinite(*real) ? Value::integer(to_whole(*real)) : otherwise;
}
Value as_float(const BuiltinCall& call) {
  const Value& value = call.value;
  if (value.is(Kind::undefined)) raise_undefined(value);
  if (value.is_number()) return Value::real(value.as_real());
  if (value.is(Kind::text)) {
    call.budget().charge_bytes(value.text().size());
    if (const auto real = parse_real(value.text())) return Value::real(*real);
  }
  return call.bound[0].is(Kind::missing) ? Value::real(0) : call.bound[0];
}

Value absolute(const BuiltinCall& call) {
  if (call.value.is(Kind::undefined)) raise_type("bad operand type for abs(): 'Undefined'");
  if (!call.value.is_number())
    raise_type(fmt::format("bad operand type for abs(): '{}'", type_name(call.value)));
  if (call.value.is(Kind::real)) return Value::real(std::abs(call.value.as_real()));
  return call.value.as_integer() < 0 ? negate(call.budget(), call.value)
                                     : Value::integer(call.value.as_integer());
}

// Correctly rounded, ties to even, as Python's round(value, digits).
double rounded(double value, std::int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  char buffer[800];
  if (digits >= 0) {
    const int size = std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), value);
    std::from_chars(buffer, buffer + size, value);
    return value;
  }
  // The digits ahead of the point that stay are those of the scientific form; a tie shows in the exact value.
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  const double quotient = value / scale, whole = std::nearbyint(quotient);
  return whole * scale;
}
Value rounded_whole(Budget& budget, const Value& value, std::int64_t digits) {
  if (digits >= 0) return Value::integer(value.as_integer());
  if (digits < -18) return Value::integer(0);
  const Value scale = binary(budget, Binary::power, Value::integer(10), Value::integer(-digits));
  const Value rest = binary(budget, Binary::modulo, value, scale);
  const Value low = binary(budget, Binary::subtract, value, rest);
  const std::int64_t twice = 2 * rest.as_integer(), by = scale.as_integer();
  const bool up = twice > by || (twice == by && (low.as_integer() / by) % 2 != 0);
  return up ? binary(budget, Binary::add, low, scale) : low;
}

Value rounded_number(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const Value& value = call.value;
  const Value precision = call.bound[0].is(Kind::missing) ? Value::integer(0) : call.bound[0];
  const std::string_view method = call.bound[1].is(Kind::missing) ? "common"
                                  : call.bound[1].is(Kind::text)  ? call.bound[1].text()
                                                                  : "";
  if (method != "common" && method != "ceil" && method != "floor")
    raise("FilterArgumentError", "method must be common, ceil or floor");
  if (method != "common") {
    const Value scale = binary(budget, Binary::power, Value::integer(10), precision);
    const Value scaled = binary(budget, Binary::multiply, value, scale);
    if (!scaled.is_number()) raise_type(fmt::format("must be real number, not {}", type_name(scaled)));
    const double exact = method == "ceil" ? std::ceil(scaled.as_real()) : std::floor(scaled.as_real());
    const Value whole = scaled.is(Kind::real) ? Value::integer(to_whole(exact)) : scaled;
    return binary(budget, Binary::divide, whole, scale);
  }
  if (!value.is_number()) {
    if (value.is(Kind::undefined)) raise_type("type Undefined doesn't define __round__ method");
    raise_type(fmt::format("type {} doesn't define __round__ method", type_name(value)));
  }
  if (precision.is(Kind::none)) {
    const double whole = std::nearbyint(value.as_real());
    return value.is(Kind::real) ? Value::integer(to_whole(whole)) : Value::integer(value.as_integer());
  }
  const std::int64_t digits = whole_argument(precision, 0);
  return value.is(Kind::real) ? Value::real(rounded(value.as_real(), digits))
                              : rounded_whole(budget, value, digits);
}

}  // namespace

std::vector<Builtin> number_filters() {
  return {
      {"abs", absolute, {"abs", 1, {}}},
      {"float", as_float, {"do_float", 1, {{"default", false}}}},
      {"int", as_whole, {"do_int", 1, {{"default", false}, {"base", false}}}},
      {"round", rounded_number, {"do_round", 1, {{"precision", false}, {"method", false}}}},
  };
}

}  // namespace trine::jinja
