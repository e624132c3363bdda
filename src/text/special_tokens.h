#pragma once

#include "text/tokenizer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace trine::text {

// Finds the tokens that are matched in the text itself, before any splitting or merging: the leftmost one,
// and the longest of those that start there. A prefix tree, so a long text costs no more with many such
// tokens.
class SpecialTokens {
 public:
  struct Match {
    std::size_t begin;
    std::size_t length;  // 0: none
    TokenId id;
  };

  // Bytes of one spelling, and of all: a search takes no longer than the longest at every byte of the text.
  static constexpr std::size_t longest_spelling = 256;
  static constexpr std::size_t most_bytes = 8 << 20;

  SpecialTokens();
  // False, and nothing added, past these bounds. `always`: matched in any text (user-defined tokens);
  // otherwise only when control tokens are asked for.
  [[nodiscard]] bool add(std::string_view spelling, TokenId id, bool always);
  // The first match at or after `from`. No control token has a byte at the offsets of `plain_at`, which
  // ascend.
  Match find(std::string_view text, std::size_t from, bool parse_control,
             std::span<const std::size_t> plain_at = {}) const;
  // Where `text` ends in a piece of a control token, of two bytes or more, that what follows might complete:
  // the offset of the longest; else the end.
  std::size_t find_begun(std::string_view text) const;

 private:
  struct Node {
    TokenId id = -1;  // of the token that ends here
    bool always = false;
    std::vector<std::pair<unsigned char, std::uint32_t>> children;
  };
  const Node* child(const Node& node, char byte) const;

  std::vector<Node> nodes_;
  std::size_t bytes_ = 0;
  std::array<bool, 256> starts_{};  // bytes that begin some token
};

}  // namespace trine::text
