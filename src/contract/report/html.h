#pragma once

#include "base/number_text.h"

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace trine::contract {

// Building blocks of the report. Only a literal written as "<p>"_html is markup; every other text is escaped
// on its way into the page, so no name in a model or prompt file can become markup.

struct Markup {
  std::string_view html;
};
constexpr Markup operator""_html(const char* text, std::size_t size) {
  return {{text, size}};
}

// Text as it may stand in an element or between quotes of an attribute. Control characters and bytes that
// are no UTF-8 become U+FFFD.
std::string escape_html(std::string_view text);

// A figure as a person reads it: whole numbers with groups of three digits, nine digits near 1 (cosines) and
// the distance where those would all be nines, else three; "not a number" for NaN.
std::string number_text(double value);

class Page {
 public:
  template <typename... Parts>
  Page& add(const Parts&... parts) {
    (put(parts), ...);
    return *this;
  }
  std::string take() { return std::move(html_); }

 private:
  void put(Markup markup) { html_ += markup.html; }
  void put(std::string_view text) { html_ += escape_html(text); }
  void put(char character) { put(std::string_view(&character, 1)); }
  void put(double value) { put(number_text(value)); }
  void put(std::integral auto value) { put(std::to_string(value)); }

  std::string html_;
};

}  // namespace trine::contract
