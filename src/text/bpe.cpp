#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

namespace trine::text {
namespace {

// Up to here a scan over the ranks beats a queue.
constexpr std::size_t short_word = 48;

}  // namespace

BytePairMerger::BytePairMerger(const std::array<TokenId, 256>& byte_tokens, std::size_t expected_merges)
    : byte_tokens_(byte_tokens), table_(std::bit_ceil(expected_merges * 2 + 1)) {}

// The slot that holds the pair, or the empty one where it belongs.
std::size_t BytePairMerger::slot(TokenId left, TokenId right) const {
  std::uint64_t key = static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  key *= 0x9E3779B97F4A7C15u;  // Fibonacci hashing: the high bits are the mixed ones
  const std::size_t mask = table_.size() - 1;
  std::size_t at = (key >> 32) & mask;
  while (table_[at].rank != no_rank && (table_[at].left != left || table_[at].right != right))
    at = (at + 1) & mask;
  return at;
}

const BytePairMerger::Merge& BytePairMerger::find(TokenId left, TokenId right) const {
  return table_[slot(left, right)];
}

bool BytePairMerger::add(TokenId left, TokenId right, std::uint32_t rank, TokenId merged) {
  if ((merges_ + 1) * 3 > table_.size() * 2) grow();
  Merge& merge = table_[slot(left, right)];
  if (merge.rank != no_rank) return false;
  merge = {left, right, rank, merged};
  ++merges_;
  return true;
}

void BytePairMerger::grow() {
  const std::vector<Merge> old = std::exchange(table_, std::vector<Merge>(table_.size() * 2));
  for (const Merge& merge : old)
    if (merge.rank != no_rank) table_[slot(merge.left, merge.right)] = merge;
}

void BytePairMerger::encode(std::string_view word, std::vector<TokenId>& out) const {
  if (word.size() == 1)
    out.push_back(byte_tokens_[static_cast<unsigned char>(word[0])]);
  else if (word.size() <= short_word)
    encode_short(word, out);
  else
    encode_long(word, out);
}

void BytePairMerger::encode_short(std::string_view word, std::vector<TokenId>& out) const {
  struct Symbol {
    TokenId id;
    TokenId merged;      // what this symbol and the next one become
    std::uint32_t rank;  // of that merge
  };
  std::array<Symbol, short_word> symbols;
  std::size_t count = 0;
  for (const char byte : word) symbols[count++].id = byte_tokens_[static_cast<unsigned char>(byte)];
  const auto look_up_pair = [&](std::size_t i) {
    if (i + 1 == count) {
      symbols[i].rank = no_rank;
      return;
    }
    const Merge& merge = find(symbols[i].id, symbols[i + 1].id);
    symbols[i].rank = merge.rank;
    symbols[i].merged = merge.merged;
  };
  for (std::size_t i = 0; i < count; ++i) look_up_pair(i);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (symbols[i].rank < symbols[best].rank) best = i;
    if (symbols[best].rank == no_rank) break;
    symbols[best].id = symbols[best].merged;
    std::copy(symbols.begin() + best + 2, symbols.begin() + count, symbols.begin() + best + 1);
    --count;
    look_up_pair(best);
    if (best > 0) look_up_pair(best - 1);
  }
  for (std::size_t i = 0; i < count; ++i) out.push_back(symbols[i].id);
}

void BytePairMerger::encode_long(std::string_view word, std::vector<TokenId>& out) const {
  constexpr std::size_t none = ~std::size_t{0};
  struct Symbol {
    TokenId id;
    std::uint32_t rank = no_rank;  // of the merge with the next symbol
    std::size_t previous, next;
  };
  std::vector<Symbol> symbols(word.size());
  // Rank above position: the smallest entry is the lowest rank and, among equals, the leftmost pair.
  constexpr int position_bits = 40;
  std::vector<std::uint64_t> queue;
  const auto look_up_pair = [&](std::size_t i) {
    Symbol& symbol = symbols[i];
    symbol.rank = symbol.next == none ? no_rank : find(symbol.id, symbols[symbol.next].id).rank;
    if (symbol.rank == no_rank) return;
    queue.push_back(static_cast<std::uint64_t>(symbol.rank) << position_bits | i);
  };

  for (std::size_t i = 0; i < symbols.size(); ++i) {
    symbols[i].id = byte_tokens_[static_cast<unsigned char>(word[i])];
    symbols[i].previous = i == 0 ? none : i - 1;
    symbols[i].next = i + 1 == symbols.size() ? none : i + 1;
  }
  for (std::size_t i = 0; i < symbols.size(); ++i) look_up_pair(i);
  std::make_heap(queue.begin(), queue.end(), std::greater<>());

  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const std::uint64_t entry = queue.back();
    queue.pop_back();
    const std::size_t i = entry & ((std::uint64_t{1} << position_bits) - 1);
    Symbol& symbol = symbols[i];
    // A neighbour changed since: the pair is gone, or is queued again under its new rank. The same rank means
    // the same pair, so an entry that outlived a change and fits again is as good as a new one.
    if (symbol.rank != entry >> position_bits) continue;
    Symbol& absorbed = symbols[symbol.next];
    symbol.id = find(symbol.id, absorbed.id).merged;
    absorbed.rank = no_rank;
    symbol.next = absorbed.next;
    if (symbol.next != none) symbols[symbol.next].previous = i;
    for (const std::size_t changed : {i, symbol.previous}) {
      if (changed == none) continue;
      look_up_pair(changed);
      if (symbols[changed].rank != no_rank) std::push_heap(queue.begin(), queue.end(), std::greater<>());
    }
  }
  for (std::size_t i = 0; i != none; i = symbols[i].next) out.push_back(symbols[i].id);
}

}  // namespace trine::text
