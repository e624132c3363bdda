#include "base/error.h"

#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace trine {

std::string to_string(const Error& error) {
  std::string text = error.what;
  if (!error.where.empty()) text += " (" + error.where + ")";
  if (!error.expected.empty()) text += ": expected " + error.expected;
  if (!error.actual.empty()) text += (error.expected.empty() ? ": got " : ", got ") + error.actual;
  if (!error.hint.empty()) text += ". " + error.hint;
  return text;
}

void check_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "trine: internal error: %s (%s:%d). Please report this.\n", what, file, line);
  std::abort();
}

}  // namespace trine
