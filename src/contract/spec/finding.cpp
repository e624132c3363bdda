#include "contract/spec/finding.h"

#include <fmt/format.h>

namespace trine::contract {
namespace {

std::string_view name_of(Level level) {
  switch (level) {
    case Level::error:
      return "ERROR";
    case Level::warning:
      return "WARN";
    case Level::info:
      return "INFO";
  }
  return "ERROR";
}

}  // namespace

std::string to_string(const Finding& finding) {
  const std::string line = finding.line > 0 ? fmt::format(":{}", finding.line) : "";
  return fmt::format("[{}] {}: {}{}: {}", name_of(finding.level), finding.rule, finding.file, line,
                     finding.message);
}

FindingCount count(std::span<const Finding> findings) {
  FindingCount counts;
  for (const Finding& finding : findings) {
    if (finding.level == Level::error) ++counts.errors;
    if (finding.level == Level::warning) ++counts.warnings;
  }
  return counts;
}

}  // namespace trine::contract
