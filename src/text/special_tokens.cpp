#include "text/special_tokens.h"

namespace trine::text {

SpecialTokens::SpecialTokens() : nodes_(1) {}

const SpecialTokens::Node* SpecialTokens::child(const Node& node, char byte) const {
  for (const auto& [key, index] : node.children)
    if (key == static_cast<unsigned char>(byte)) return &nodes_[index];
  return nullptr;
}

void SpecialTokens::add(std::string_view spelling, TokenId id, bool always) {
  if (spelling.empty()) return;
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
}

SpecialTokens::Match SpecialTokens::find(std::string_view text, std::size_t from, bool parse_control) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    Match longest{begin, 0, -1};
    const Node* node = &nodes_[0];
    for (std::size_t i = begin; i < text.size(); ++i) {
      node = child(*node, text[i]);
      if (node == nullptr) break;
      if (node->id >= 0 && (node->always || parse_control)) longest = {begin, i + 1 - begin, node->id};
    }
    if (longest.length > 0) return longest;
  }
  return {text.size(), 0, -1};
}

}  // namespace trine::text
