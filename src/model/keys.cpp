#include "model/keys.h"

#include <fmt/format.h>

namespace trine::model {
namespace {

std::optional<double> as_number(const gguf::Value& value) {
  if (const auto* number = std::get_if<double>(&value.data)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(&value.data)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<std::int64_t>(&value.data)) return static_cast<double>(*number);
  if (const auto* flag = std::get_if<bool>(&value.data)) return *flag ? 1 : 0;
  return std::nullopt;
}

}  // namespace

Keys::Keys(const gguf::File& file, std::string architecture)
    : file_(file), architecture_(std::move(architecture)) {}

std::string Keys::full(std::string_view suffix) const {
  return fmt::format("{}.{}", architecture_, suffix);
}

std::optional<double> Keys::find_number(std::string_view suffix) const {
  const auto value = gguf::equal_value(*find(suffix));
  return value ? as_number(*value) : std::nullopt;
}

std::string Keys::text(std::string_view suffix) const {
  const auto number = find_number(suffix);
  return number ? fmt::format("{}", *number) : kind_of(*find(suffix));
}

tl::unexpected<Error> Keys::refuse(ErrorCode code, std::string what, std::string_view suffix,
                                   std::string expected, std::string actual) const {
  return fail({.code = code,
               .what = std::move(what),
               .where = fmt::format("{}, key '{}'", file_.paths()[0], full(suffix)),
               .expected = std::move(expected),
               .actual = std::move(actual)});
}

tl::unexpected<Error> Keys::impossible(std::string_view suffix, std::string expected,
                                       std::string actual) const {
  return refuse(ErrorCode::model_load, "impossible value", suffix, std::move(expected), std::move(actual));
}

Result<gguf::Value> Keys::scalar(std::string_view suffix) const {
  const gguf::Value* value = find(suffix);
  if (value == nullptr) return refuse(ErrorCode::model_load, "metadata key is missing", suffix, {}, {});
  auto one = gguf::equal_value(*value);
  if (one) return *std::move(one);
  if (const auto* array = std::get_if<gguf::Array>(&value->data))
    if (std::visit([](const auto& values) { return values.empty(); }, array->values))
      return impossible(suffix, "one number", "an empty array");
  return refuse(ErrorCode::unsupported, "values that differ by layer are not supported", suffix, "one number",
                kind_of(*value));
}

Result<std::int32_t> Keys::count(std::string_view suffix, std::int64_t max) const {
  TRINE_TRY(const gguf::Value value, scalar(suffix));
  if (const auto* number = std::get_if<std::uint64_t>(&value.data)) {
    if (*number >= 1 && *number <= static_cast<std::uint64_t>(max)) return static_cast<std::int32_t>(*number);
    return impossible(suffix, fmt::format("1 to {}", max), fmt::format("{}", *number));
  }
  if (const auto* number = std::get_if<std::int64_t>(&value.data)) {
    if (*number >= 1 && *number <= max) return static_cast<std::int32_t>(*number);
    return impossible(suffix, fmt::format("1 to {}", max), fmt::format("{}", *number));
  }
  return refuse(ErrorCode::model_load, "metadata key has the wrong kind of value", suffix, "an integer",
                kind_of(value));
}

Result<double> Keys::number(std::string_view suffix, double low, double high) const {
  TRINE_TRY(const gguf::Value value, scalar(suffix));
  const auto number = as_number(value);
  if (!number || std::holds_alternative<bool>(value.data))
    return refuse(ErrorCode::model_load, "metadata key has the wrong kind of value", suffix, "a number",
                  kind_of(value));
  if (*number >= low && *number <= high) return *number;  // false for NaN
  return impossible(suffix, fmt::format("{} to {}", low, high), fmt::format("{}", *number));
}

Result<double> Keys::number_or(std::string_view suffix, double low, double high, double absent) const {
  return has(suffix) ? number(suffix, low, high) : absent;
}

}  // namespace trine::model
