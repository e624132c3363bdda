#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trine::contract {

// A YAML document as data that keeps every line number, every key of a mapping (also those given twice) and
// no types: a scalar is its text. What a contract has no use for is refused: anchors, aliases, tags, a second
// document.
struct YamlNode {
  enum class Kind : std::uint8_t { scalar, sequence, mapping };
  Kind kind = Kind::scalar;
  int line = 0;                                   // from 1
  std::string text;                               // scalar; empty for null
  std::vector<YamlNode> items;                    // sequence: its items; mapping: the values
  std::vector<std::pair<std::string, int>> keys;  // mapping: key and line of each value
};

std::string_view kind_name(YamlNode::Kind kind);  // "text", "a list", "a mapping"

struct YamlProblem {
  std::string rule;  // "yaml", "duplicate-key", "limits"
  std::string message;
  int line = 0;
};

struct YamlDocument {
  std::optional<YamlNode> root;  // absent when the text is no YAML, or nothing at all
  std::vector<YamlProblem> problems;
};

// A file past these is no contract.
inline constexpr std::size_t max_yaml_bytes = 1 << 18;
inline constexpr std::size_t max_yaml_nodes = 20000;
inline constexpr std::size_t max_yaml_depth = 16;
inline constexpr std::size_t max_yaml_keys = 64;  // of one mapping

YamlDocument parse_yaml(std::string_view text);

}  // namespace trine::contract
