#pragma once

#include "gguf/file.h"
#include "text/tokenizer.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace trine::text {

inline std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

inline nlohmann::json golden(const std::string& name) {
  return nlohmann::json::parse(slurp(std::string(TRINE_SOURCE_DIR "/tests/text/data/") + name));
}

inline Tokenizer load_tokenizer(const std::string& path) {
  auto file = gguf::File::open(path);
  if (!file) throw std::runtime_error(to_string(file.error()));
  auto tokenizer = Tokenizer::from_gguf(file->metadata());
  if (!tokenizer) throw std::runtime_error(to_string(tokenizer.error()));
  return *std::move(tokenizer);
}

inline const Tokenizer& demo_tokenizer() {
  static const Tokenizer tokenizer = load_tokenizer(TRINE_SOURCE_DIR "/models/demo-coder-Q4_K_M.gguf");
  return tokenizer;
}

inline const std::string qwen2_vocabulary = TRINE_SHARED_DIR "/vocab/ggml-vocab-qwen2.gguf";

using Ids = std::vector<TokenId>;

// A vocabulary small enough to read: the 256 byte symbols (ids 0–255 in the order of their code points, so
// that letters are easy to find by spelling), then `extra` tokens.
struct ExtraToken {
  std::string spelling;
  int type;
};
inline gguf::Metadata small_vocabulary(const std::vector<ExtraToken>& extra,
                                       const std::vector<std::string>& merges) {
  std::vector<std::string> tokens;
  const auto add_symbol = [&](unsigned code_point) {
    if (code_point < 0x80)
      tokens.push_back({static_cast<char>(code_point)});
    else
      tokens.push_back(
          {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))});
  };
  // The alphabet as GPT-2's encoder.py states it.
  for (unsigned c = '!'; c <= '~'; ++c) add_symbol(c);
  for (unsigned c = 0xA1; c <= 0xAC; ++c) add_symbol(c);
  for (unsigned c = 0xAE; c <= 0xFF; ++c) add_symbol(c);
  for (unsigned c = 0x100; c < 0x144; ++c) add_symbol(c);
  std::vector<std::int32_t> types(tokens.size(), 1);
  for (const ExtraToken& token : extra) {
    tokens.push_back(token.spelling);
    types.push_back(token.type);
  }
  gguf::Metadata metadata;
  metadata.add("tokenizer.ggml.model", gguf::make_value(std::string("gpt2")));
  metadata.add("tokenizer.ggml.pre", gguf::make_value(std::string("qwen2")));
  metadata.add("tokenizer.ggml.tokens", gguf::make_value(tokens));
  metadata.add("tokenizer.ggml.token_type", gguf::make_value(types));
  metadata.add("tokenizer.ggml.merges", gguf::make_value(merges));
  return metadata;
}

}  // namespace trine::text
