#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::contract {

enum class Level : std::uint8_t { error, warning, info };

// One thing to say about a contract file.
struct Finding {
  Level level = Level::error;
  std::string rule;     // "duplicate-key"
  std::string message;  // one sentence, lower case, without a full stop
  std::string file;
  int line = 0;  // from 1; 0 when it concerns the whole file
};

// "[ERROR] duplicate-key: contracts/x.yaml:12: message".
std::string to_string(const Finding& finding);

struct FindingCount {
  std::size_t errors = 0;
  std::size_t warnings = 0;
};
FindingCount count(std::span<const Finding> findings);

}  // namespace trine::contract
