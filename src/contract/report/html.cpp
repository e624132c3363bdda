#include "contract/report/html.h"

#include "text/utf8.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

namespace trine::contract {
namespace {

constexpr std::string_view replacement = "\uFFFD";

bool is_control(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return (byte(0) < 0x20 && byte(0) != '\n' && byte(0) != '\t') || byte(0) == 0x7F;
  // U+0080 to U+009F.
  return character.size() == 2 && byte(0) == 0xC2 && byte(1) < 0xA0;
}

std::string_view entity_of(char character) {
  switch (character) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return {};
  }
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const text::Utf8Unit unit = text::first_utf8_unit(text);
    const std::string_view character = text.substr(0, unit.length);
    const std::string_view entity = entity_of(character[0]);
    const bool shown = unit.kind == text::Utf8Unit::Kind::character && !is_control(character);
    out += !shown ? replacement : entity.empty() ? character : entity;
    text.remove_prefix(unit.length);
  }
  return out;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "not a number";
  if (value >= 0 && value < 1e15 && value == std::floor(value))
    return grouped_text(static_cast<std::size_t>(value));
  const double from_one = std::abs(value - 1);
  if (from_one < 1e-8) return fmt::format("1 {} {:.2g}", value < 1 ? "−" : "+", from_one);
  return from_one < 0.1 ? fmt::format("{:.9f}", value) : fmt::format("{:.3g}", value);
}

}  // namespace trine::contract
