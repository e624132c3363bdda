#pragma once

#include "text/jinja/value.h"

#include <optional>
#include <string>
#include <string_view>

namespace trine::jinja {

// &, <, >, ' and " as HTML writes them.
std::string escape_html(std::string_view text);

// str.replace as a value, its size checked before it is made.
Value replaced_text(Budget& budget, std::string_view text, std::string_view old, std::string_view with,
                    std::int64_t limit, bool markup);

// The method of str with this name; nothing when Python has none.
using MethodCall = decltype(Method::call);
struct NamedMethod {
  std::string_view name;
  MethodCall call;
};
std::optional<NamedMethod> find_text_method(std::string_view name);
// The same of dict, list and tuple.
std::optional<NamedMethod> find_container_method(Kind kind, std::string_view name);

}  // namespace trine::jinja
