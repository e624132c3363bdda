#pragma once

#include "gguf/metadata.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace trine::engine {

// GPT-2's byte alphabet: bytes that are not printable Latin-1 move to U+0100 and up, in order.
inline std::string byte_symbol(int byte) {
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b != 173); };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

// A tokenizer without merges, so that text is its bytes: ids 0 to 255 are these, then come `words`, then
// `controls`.
inline gguf::Metadata byte_vocabulary(const std::vector<std::string>& words,
                                      const std::vector<std::string>& controls) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(byte_symbol(byte));
  tokens.insert(tokens.end(), words.begin(), words.end());
  std::vector<std::int32_t> types(tokens.size(), 1);
  tokens.insert(tokens.end(), controls.begin(), controls.end());
  types.resize(tokens.size(), 3);
  gguf::Metadata metadata;
  metadata.add("tokenizer.ggml.model", gguf::make_value(std::string("gpt2")));
  metadata.add("tokenizer.ggml.pre", gguf::make_value(std::string("qwen2")));
  metadata.add("tokenizer.ggml.tokens", gguf::make_value(std::move(tokens)));
  metadata.add("tokenizer.ggml.token_type", gguf::make_value(std::move(types)));
  metadata.add("tokenizer.ggml.merges", gguf::make_value(std::vector<std::string>{}));
  return metadata;
}

inline text::Tokenizer tokenizer_of(const gguf::Metadata& metadata) {
  auto made = text::Tokenizer::from_gguf(metadata);
  if (!made) throw std::runtime_error(to_string(made.error()));
  return *std::move(made);
}

}  // namespace trine::engine
