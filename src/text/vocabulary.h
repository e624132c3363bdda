#pragma once

#include "base/error.h"
#include "gguf/metadata.h"
#include "text/tokenizer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trine::text {

// Values of tokenizer.ggml.token_type. Source: ggml's docs/gguf.md.
enum class TokenType : std::uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

// How GPT-2's alphabet (bytes_to_unicode in openai/gpt-2's encoder.py) spells a byte, as UTF-8: printable
// Latin-1 bytes stand for themselves, the others for U+0100 onwards in byte order.
std::string byte_symbol(std::uint8_t byte);

// The tokens of a file: spelling, bytes and type by id, and id by spelling.
class Vocabulary {
 public:
  // From tokenizer.ggml.tokens and tokenizer.ggml.token_type. Tokens of control_spellings() are control
  // tokens whatever their type; `warnings` gets a sentence where the file has another. Errors: model_load for
  // a key that is missing, arrays of different lengths, a token that appears twice, an unknown type, or one
  // of the 256 byte symbols missing.
  static Result<Vocabulary> from_gguf(const gguf::Metadata& metadata, std::vector<std::string>& warnings);

  std::size_t size() const { return types_.size(); }
  bool contains(TokenId id) const { return id >= 0 && static_cast<std::size_t>(id) < size(); }

  // For ids it contains. raw: as in the file. bytes: what the token stands for.
  std::string_view raw(TokenId id) const { return slice(raw_, raw_ends_, id); }
  std::string_view bytes(TokenId id) const { return slice(bytes_, bytes_ends_, id); }
  TokenType type(TokenId id) const { return types_[static_cast<std::size_t>(id)]; }

  // The token with this raw spelling, or -1.
  TokenId find(std::string_view raw) const;
  const std::array<TokenId, 256>& byte_tokens() const { return byte_tokens_; }

 private:
  static std::string_view slice(const std::string& all, const std::vector<std::size_t>& ends, TokenId id) {
    const auto i = static_cast<std::size_t>(id);
    const std::size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(all).substr(begin, ends[i] - begin);
  }
  Result<void> add_tokens(const std::vector<std::string>& tokens);
  Result<void> find_byte_tokens();
  std::size_t slot(std::string_view raw) const;

  // All strings end to end: two allocations instead of 300,000.
  std::string raw_, bytes_;
  std::vector<std::size_t> raw_ends_, bytes_ends_;
  std::vector<TokenType> types_;
  std::vector<TokenId> index_;  // open addressing by spelling, a power of two in size, -1 when empty
  std::array<TokenId, 256> byte_tokens_{};
};

}  // namespace trine::text
