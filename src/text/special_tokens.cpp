#include "text/special_tokens.h"

#include <algorithm>

namespace trine::text {

SpecialTokens::SpecialTokens() : nodes_(1) {}

const SpecialTokens::Node* SpecialTokens::child(const Node& node, char byte) const {
  for (const auto& [key, index] : node.children)
    if (key == static_cast<unsigned char>(byte)) return &nodes_[index];
  return nullptr;
}

bool SpecialTokens::add(std::string_view spelling, TokenId id, bool always) {
  if (spelling.empty()) return true;
  if (spelling.size() > longest_spelling || bytes_ + spelling.size() > most_bytes) return false;
  bytes_ += spelling.size();
  starts_[static_cast<unsigned char>(spelling[0])] = true;
  std::size_t at = 0;
  for (const char byte : spelling) {
    if (const Node* next = child(nodes_[at], byte)) {
      at = static_cast<std::size_t>(next - nodes_.data());
      continue;
    }
    nodes_[at].children.emplace_back(static_cast<unsigned char>(byte),
                                     static_cast<std::uint32_t>(nodes_.size()));
    at = nodes_.size();
    nodes_.emplace_back();
  }
  nodes_[at].id = id;
  nodes_[at].always = always;
  return true;
}

SpecialTokens::Match SpecialTokens::find(std::string_view text, std::size_t from, bool parse_control,
                                         std::span<const std::size_t> plain_at) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    Match longest{begin, 0, -1};
    const auto plain = std::lower_bound(plain_at.begin(), plain_at.end(), begin);
    const std::size_t control_end = !parse_control ? 0 : plain == plain_at.end() ? text.size() : *plain;
    const Node* node = &nodes_[0];
    for (std::size_t i = begin; i < text.size(); ++i) {
      node = child(*node, text[i]);
      if (node == nullptr) break;
      if (node->id >= 0 && (node->always || i < control_end)) longest = {begin, i + 1 - begin, node->id};
    }
    if (longest.length > 0) return longest;
  }
  return {text.size(), 0, -1};
}

std::size_t SpecialTokens::find_begun(std::string_view text) const {
  for (std::size_t begin = text.size() - std::min(text.size(), longest_spelling); begin + 2 <= text.size();
       ++begin) {
    const Node* node = &nodes_[0];
    for (std::size_t i = begin; i < text.size() && node != nullptr; ++i) node = child(*node, text[i]);
    if (node != nullptr && !node->children.empty()) return begin;
  }
  return text.size();
}

}  // namespace trine::text
