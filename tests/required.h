// What a machine must have for the tests to mean something.
#pragma once

#include <gtest/gtest.h>
#include <cstdlib>
#include <string>
#include <string_view>

namespace trine::test {

// Whether TRINE_REQUIRE names this backend, alone or among others with commas between them: its tests then
// fail where they would be skipped.
inline bool is_required(std::string_view backend) {
  const char* names = std::getenv("TRINE_REQUIRE");
  const std::string all = "," + std::string(names == nullptr ? "" : names) + ",";
  return all.find("," + std::string(backend) + ",") != std::string::npos;
}

}  // namespace trine::test

// Ends a test that cannot run here: skipped, or failed where the backend is required.
#define TRINE_CANNOT_RUN(backend, reason)                                                         \
  do {                                                                                            \
    if (::trine::test::is_required(backend)) FAIL() << (reason) << "; TRINE_REQUIRE asks for it"; \
    GTEST_SKIP() << (reason);                                                                     \
  } while (false)
