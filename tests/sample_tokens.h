#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trine::test {

// Token ids below `vocab`, the same on every machine.
inline std::vector<std::int32_t> sample_tokens(std::size_t n, std::int32_t vocab, std::uint32_t seed = 1) {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<std::int32_t>((seed >> 8) % static_cast<std::uint32_t>(vocab)));
  }
  return tokens;
}

}  // namespace trine::test
