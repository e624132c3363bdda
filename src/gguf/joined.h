#pragma once

#include "gguf/parse.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trine::gguf {

// One of several GGUF files that lie in one, as cat(1) leaves them. Not used outside this folder.
struct Section {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::optional<std::uint64_t> part;   // from 0, when it says that it is part of a split model
  std::optional<std::uint64_t> count;  // of how many
};

// The file whose header is `first`, and those behind its data, until one cannot be read: that has no `part`,
// and reaches to the end. One entry for a file like any other.
std::vector<Section> find_sections(std::span<const std::byte> bytes, const Header& first);

// What is wrong with parts of a split model that lie in one file, and the commands that take them apart.
Error joined_error(const std::string& path, const std::vector<Section>& sections);

}  // namespace trine::gguf
