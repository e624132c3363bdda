#pragma once

namespace trine {

[[noreturn]] void check_failed(const char* what, const char* file, int line);

// For bugs only, never for input: aborts when the program broke its own rule. On in every build.
// (The builtins name the caller; clang 14 has no std::source_location with Debian's libstdc++.)
inline void check(bool ok, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (!ok) [[unlikely]]
    check_failed(what, file, line);
}

}  // namespace trine
