#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace trine::gguf {

// `prefix-00002-of-00003.gguf` taken apart; `number` counts from 1. llama.cpp knows five digits and lower
// case only (src/llama.cpp, llama_split_path). Here other widths and cases are read too, and kept for the
// siblings. Not used outside this folder.
struct PartName {
  std::string prefix;  // with the folders
  std::uint64_t number = 0;
  std::uint64_t count = 0;
  std::size_t number_digits = 5;
  std::size_t count_digits = 5;
  std::string of = "-of-";
  std::string extension = ".gguf";
};
std::optional<PartName> part_name(const std::string& path);
// The same name with another number.
std::string path_of_part(const PartName& name, std::uint64_t number);

// A word for a POSIX shell, quoted where it must be.
std::string shell_word(const std::string& text);

// How to join the pieces, when `path` is named as the pieces are that split(1) makes of a file, and uploads
// had before llama-gguf-split: model.gguf-split-a, model.gguf.part1of2, model.gguf.aa. Empty for any other
// name.
std::string how_to_join_pieces(const std::string& path);

}  // namespace trine::gguf
