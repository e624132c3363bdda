#include "text/jinja/format.h"
#include "text/jinja/operators.h"
#include "text/jinja/strings.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace trine::jinja {
namespace {

std::string_view symbol(Binary operation) {
  switch (operation) {
    case Binary::add:
      return "+";
    case Binary::subtract:
      return "-";
    case Binary::multiply:
      return "*";
    case Binary::divide:
      return "/";
    case Binary::floor_divide:
      return "//";
    case Binary::modulo:
      return "%";
    case Binary::power:
      return "** or pow()";
  }
  return "";
}

[[noreturn]] void raise_operands(Binary operation, const Value& left, const Value& right) {
  raise_type(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", symbol(operation),
                         type_name(left), type_name(right)));
}
[[noreturn]] void raise_zero_division(std::string message) {
  raise("ZeroDivisionError", std::move(message));
}
[[noreturn]] void raise_too_large() {
  raise_unsupported("whole numbers past 64 bits are not supported");
}

// Of doubles that stand for themselves.
bool is_exact(std::int64_t value) {
  constexpr std::int64_t limit = std::int64_t{1} << 53;
  return value >= -limit && value <= limit;
}

Value whole_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  if (base == 0 || base == 1) return Value::integer(exponent == 0 ? 1 : base);
  if (base == -1) return Value::integer(exponent % 2 == 0 ? 1 : -1);
  for (; exponent > 0; --exponent)
    if (__builtin_mul_overflow(result, base, &result)) raise_too_large();
  return Value::integer(result);
}

Value whole_binary(Binary operation, std::int64_t left, std::int64_t right) {
  std::int64_t result = 0;
  switch (operation) {
    case Binary::add:
      if (__builtin_add_overflow(left, right, &result)) raise_too_large();
      return Value::integer(result);
    case Binary::subtract:
      if (__builtin_sub_overflow(left, right, &result)) raise_too_large();
      return Value::integer(result);
    case Binary::multiply:
      if (__builtin_mul_overflow(left, right, &result)) raise_too_large();
      return Value::integer(result);
    case Binary::divide:
      if (right == 0) raise_zero_division("division by zero");
      if (!is_exact(left) || !is_exact(right)) raise_too_large();
      return Value::real(static_cast<double>(left) / static_cast<double>(right));
    case Binary::floor_divide:
      if (right == 0) raise_zero_division("integer division or modulo by zero");
      if (right == -1) return whole_binary(Binary::subtract, 0, left);
      return Value::integer(left / right - (left % right != 0 && (left < 0) != (right < 0) ? 1 : 0));
    case Binary::modulo:
      if (right == 0) raise_zero_division("integer modulo by zero");
      if (right == -1) return Value::integer(0);
      result = left % right;
      return Value::integer(result != 0 && (result < 0) != (right < 0) ? result + right : result);
    case Binary::power:
      break;
  }
  if (right >= 0) return whole_power(left, right);
  if (left == 0) raise_zero_division("0.0 cannot be raised to a negative power");
  return Value::real(std::pow(static_cast<double>(left), static_cast<double>(right)));
}

Value real_power(double left, double right) {
  if (left == 0 && right < 0) raise_zero_division("0.0 cannot be raised to a negative power");
  if (left < 0 && std::isfinite(left) && std::isfinite(right) && right != std::floor(right))
    raise_unsupported("complex numbers are not supported");
  const double result = std::pow(left, right);
  if (std::isinf(result) && std::isfinite(left) && std::isfinite(right))
    raise("OverflowError", "(34, 'Numerical result out of range')");
  return Value::real(result);
}

Value real_binary(Binary operation, double left, double right) {
  switch (operation) {
    case Binary::add:
      return Value::real(left + right);
    case Binary::subtract:
      return Value::real(left - right);
    case Binary::multiply:
      return Value::real(left * right);
    case Binary::divide:
      if (right == 0) raise_zero_division("float division by zero");
      return Value::real(left / right);
    case Binary::power:
      return real_power(left, right);
    default:
      break;
  }
  const bool modulo = operation == Binary::modulo;
  if (right == 0) raise_zero_division(modulo ? "float modulo" : "float floor division by zero");
  // As CPython's float_divmod.
  double rest = std::fmod(left, right);
  double quotient = (left - rest) / right;
  if (rest != 0) {
    if ((right < 0) != (rest < 0)) {
      rest += right;
      quotient -= 1;
    }
  } else {
    rest = std::copysign(0.0, right);
  }
  if (modulo) return Value::real(rest);
  if (quotient == 0) return Value::real(std::copysign(0.0, left / right));
  const double whole = std::floor(quotient);
  return Value::real(quotient - whole > 0.5 ? whole + 1 : whole);
}

Value add_texts(Budget& budget, const Value& left, const Value& right) {
  const bool markup = left.is_markup() || right.is_markup();
  std::string sum;
  budget.check_text(left.text().size() + right.text().size());
  sum.reserve(left.text().size() + right.text().size());
  sum += markup && !left.is_markup() ? escape_html(left.text()) : left.text();
  sum += markup && !right.is_markup() ? escape_html(right.text()) : right.text();
  return budget.text(std::move(sum), markup);
}

Value repeat(Budget& budget, const Value& value, const Value& times) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(times.as_integer(), 0));
  if (value.is(Kind::text)) {
    const std::string_view text = value.text();
    if (!text.empty() && count > SIZE_MAX / 2 / text.size()) budget.check_text(SIZE_MAX);
    budget.check_text(text.size() * count);
    std::string repeated;
    repeated.reserve(text.size() * count);
    for (std::size_t i = 0; i < count && !text.empty(); ++i) repeated += text;
    return budget.text(std::move(repeated), value.is_markup());
  }
  const auto& items = value.items();
  std::vector<Value> repeated;
  for (std::size_t i = 0; i < count && !items.empty(); ++i) {
    budget.charge(items.size());
    repeated.insert(repeated.end(), items.begin(), items.end());
  }
  return value.is(Kind::list) ? budget.list(std::move(repeated)) : budget.tuple(std::move(repeated));
}

Value add_sequences(Budget& budget, const Value& left, const Value& right) {
  if (left.kind() != right.kind())
    raise_type(fmt::format("can only concatenate {} (not \"{}\") to {}", type_name(left), type_name(right),
                           type_name(left)));
  if (left.is(Kind::text)) return add_texts(budget, left, right);
  std::vector<Value> sum;
  budget.charge(left.items().size() + right.items().size());
  sum.reserve(left.items().size() + right.items().size());
  sum = left.items();
  sum.insert(sum.end(), right.items().begin(), right.items().end());
  return left.is(Kind::list) ? budget.list(std::move(sum)) : budget.tuple(std::move(sum));
}

bool is_sequence_type(const Value& value) {
  return value.is(Kind::text) || value.is_items();
}

}  // namespace

Value binary(Budget& budget, Binary operation, const Value& left, const Value& right) {
  if (left.is_whole() && right.is_whole())
    return whole_binary(operation, left.as_integer(), right.as_integer());
  if (left.is_number() && right.is_number()) return real_binary(operation, left.as_real(), right.as_real());
  if (operation == Binary::modulo && left.is(Kind::text)) return format_percent(budget, left, right);
  if (left.is(Kind::undefined)) raise_undefined(left);
  if (right.is(Kind::undefined)) raise_undefined(right);
  if (operation == Binary::add && is_sequence_type(left)) return add_sequences(budget, left, right);
  if (operation == Binary::multiply && (is_sequence_type(left) || is_sequence_type(right))) {
    const Value& sequence = is_sequence_type(left) ? left : right;
    const Value& times = is_sequence_type(left) ? right : left;
    if (!times.is_whole())
      raise_type(fmt::format("can't multiply sequence by non-int of type '{}'", type_name(times)));
    return repeat(budget, sequence, times);
  }
  if (left.is(Kind::dict_view) || right.is(Kind::dict_view)) raise_unsupported("sets are not supported");
  raise_operands(operation, left, right);
}

Value negate(Budget&, const Value& value) {
  if (value.is_whole()) return whole_binary(Binary::subtract, 0, value.as_integer());
  if (value.is(Kind::real)) return Value::real(-value.as_real());
  if (value.is(Kind::undefined)) raise_undefined(value);
  raise_type(fmt::format("bad operand type for unary -: '{}'", type_name(value)));
}
Value positive(Budget&, const Value& value) {
  if (value.is_whole()) return Value::integer(value.as_integer());
  if (value.is(Kind::real)) return value;
  if (value.is(Kind::undefined)) raise_undefined(value);
  raise_type(fmt::format("bad operand type for unary +: '{}'", type_name(value)));
}

}  // namespace trine::jinja
