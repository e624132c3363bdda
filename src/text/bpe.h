#pragma once

#include "text/tokenizer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace trine::text {

// Byte-pair merging: a word starts as one token per byte; while two neighbours form a known pair, the pair of
// the lowest rank (the leftmost of equal ones) becomes one token. Source: Sennrich et al., arXiv:1508.07909;
// the byte alphabet is GPT-2's.
class BytePairMerger {
 public:
  // More merges than this cannot be told apart by the queue below.
  static constexpr std::size_t max_merges = std::size_t{1} << 24;

  BytePairMerger() = default;
  // `byte_tokens[b]` is the token of the single byte b.
  BytePairMerger(const std::array<TokenId, 256>& byte_tokens, std::size_t expected_merges);

  // False when the pair has a merge already; the first one stays.
  bool add(TokenId left, TokenId right, std::uint32_t rank, TokenId merged);

  // Appends the tokens of one word. Linear in the number of merges for words of a usual length, n log n
  // beyond.
  void encode(std::string_view word, std::vector<TokenId>& out) const;

 private:
  static constexpr std::uint32_t no_rank = ~std::uint32_t{0};
  struct Merge {
    TokenId left = -1, right = -1;
    std::uint32_t rank = no_rank;
    TokenId merged = -1;
  };
  const Merge& find(TokenId left, TokenId right) const;
  std::size_t slot(TokenId left, TokenId right) const;
  void grow();
  void encode_short(std::string_view word, std::vector<TokenId>& out) const;
  void encode_long(std::string_view word, std::vector<TokenId>& out) const;

  std::array<TokenId, 256> byte_tokens_{};
  std::vector<Merge> table_{Merge{}};  // open addressing, a power of two in size; empty slots have no rank
  std::size_t merges_ = 0;
};

}  // namespace trine::text
