#pragma once

#include <source_location>

namespace trine {

[[noreturn]] void check_failed(const char* what, const std::source_location& at);

// For bugs only, never for input: aborts when the program broke its own rule. On in every build.
inline void check(bool ok, const char* what,
                  const std::source_location& at = std::source_location::current()) {
  if (!ok) [[unlikely]]
    check_failed(what, at);
}

}  // namespace trine
