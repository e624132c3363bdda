#include "text/vocabulary.h"

#include "text/named_tokens.h"
#include "text/utf8.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <functional>
#include <limits>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace trine::text {
namespace {

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens";
constexpr std::string_view types_key = "tokenizer.ggml.token_type";

bool stands_for_itself(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

struct ByteAlphabet {
  static constexpr std::size_t end = 0x100 + 68;  // 68 bytes do not stand for themselves
  std::array<std::uint16_t, 256> code_point{};
  std::array<std::int16_t, end> byte{};

  ByteAlphabet() {
    byte.fill(-1);
    std::uint16_t next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      code_point[b] = stands_for_itself(b) ? static_cast<std::uint16_t>(b) : next++;
      byte[code_point[b]] = static_cast<std::int16_t>(b);
    }
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

// Appends the bytes that `raw` spells in the alphabet; false (and nothing appended) when a character is not
// of it.
bool append_decoded(std::string_view raw, std::string& out) {
  const std::size_t before = out.size();
  for (std::size_t i = 0; i < raw.size(); ++i) {
    std::size_t code_point = static_cast<unsigned char>(raw[i]);
    if (code_point >= 0x80) {
      const bool two_bytes = (code_point & 0xE0) == 0xC0 && i + 1 < raw.size() && (raw[i + 1] & 0xC0) == 0x80;
      code_point = two_bytes ? (code_point & 0x1F) << 6 | (raw[i + 1] & 0x3F) : ByteAlphabet::end;
      ++i;
    }
    if (code_point >= ByteAlphabet::end || byte_alphabet().byte[code_point] < 0) {
      out.resize(before);
      return false;
    }
    out += static_cast<char>(byte_alphabet().byte[code_point]);
  }
  return true;
}

Error impossible(std::string what, std::string_view where, std::string expected, std::string actual) {
  return {.code = ErrorCode::model_load,
          .what = std::move(what),
          .where = std::string(where),
          .expected = std::move(expected),
          .actual = std::move(actual)};
}

Result<std::vector<TokenType>> read_types(const gguf::Metadata& metadata, std::size_t count,
                                          std::vector<std::string>& warnings) {
  if (metadata.find(types_key) == nullptr) {
    warnings.push_back(
        fmt::format("the file does not state {}: its tokens are ordinary ones, but for those "
                    "known by their spelling",
                    types_key));
    return std::vector<TokenType>(count, TokenType::normal);
  }
  TRINE_TRY(const gguf::Array* const array, metadata.get_array(types_key));
  if (array->size() != count)
    return fail(impossible("the arrays of tokens and of their types differ in length", types_key,
                           fmt::format("{} entries, one per token", count),
                           fmt::format("{}", array->size())));
  std::vector<TokenType> types;
  types.reserve(count);
  const auto append = [&](const auto& values) -> Result<void> {
    for (const auto value : values) {
      if (value < 0 || value > 6)
        return fail(impossible("a token has an unknown type", fmt::format("{}[{}]", types_key, types.size()),
                               "0 to 6", fmt::format("{}", value)));
      // 0, undefined, is what llama.cpp saves for a token whose type it overrode.
      types.push_back(value == 0 ? TokenType::normal : static_cast<TokenType>(value));
    }
    return {};
  };
  if (const auto* values = std::get_if<std::vector<std::int64_t>>(&array->values)) {
    TRINE_CHECK_OK(append(*values));
  } else if (const auto* unsigned_values = std::get_if<std::vector<std::uint64_t>>(&array->values)) {
    TRINE_CHECK_OK(append(*unsigned_values));
  } else {
    return fail(impossible("token types are not integers", types_key, "an array of int32",
                           fmt::format("an array of {}", gguf::name_of(array->element_type))));
  }
  return types;
}

// "user-defined", for messages.
std::string_view name_of(TokenType type) {
  switch (type) {
    case TokenType::normal:
      return "normal";
    case TokenType::unknown:
      return "unknown";
    case TokenType::control:
      return "control";
    case TokenType::user_defined:
      return "user-defined";
    case TokenType::unused:
      return "unused";
    case TokenType::byte:
      return "byte";
  }
  return "unknown";
}

// Before anything is looked up: a spelling is compared with a handful of others.
void make_control(const std::vector<std::string>& tokens, std::vector<TokenType>& types,
                  std::vector<std::string>& warnings) {
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    if (types[id] == TokenType::control || token.empty() ||
        !std::ispunct(static_cast<unsigned char>(token[0])))
      continue;
    const Spelling* spelling = find_spelling(token);
    if (spelling == nullptr || (!spelling->is_own && types[id] != TokenType::user_defined)) continue;
    warnings.push_back(fmt::format("the file stores {} (token {}) as a {} token: taken as a control token",
                                   token, id, name_of(types[id])));
    types[id] = TokenType::control;
  }
}

}  // namespace

std::string byte_symbol(std::uint8_t byte) {
  const unsigned code_point = byte_alphabet().code_point[byte];
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
}

Result<Vocabulary> Vocabulary::from_gguf(const gguf::Metadata& metadata, std::vector<std::string>& warnings) {
  TRINE_TRY(const std::vector<std::string>* const tokens, metadata.get_strings(tokens_key));
  if (tokens->size() > static_cast<std::size_t>(std::numeric_limits<TokenId>::max()))
    return fail(
        impossible("too many tokens", tokens_key, "at most 2147483647", fmt::format("{}", tokens->size())));
  Vocabulary vocabulary;
  TRINE_TRY(vocabulary.types_, read_types(metadata, tokens->size(), warnings));
  make_control(*tokens, vocabulary.types_, warnings);
  TRINE_CHECK_OK(vocabulary.add_tokens(*tokens));
  TRINE_CHECK_OK(vocabulary.find_byte_tokens());
  return vocabulary;
}

Result<void> Vocabulary::add_tokens(const std::vector<std::string>& tokens) {
  std::size_t total = 0;
  for (const std::string& token : tokens) total += token.size();
  raw_.reserve(total);
  bytes_.reserve(total);
  raw_ends_.reserve(tokens.size());
  bytes_ends_.reserve(tokens.size());
  index_.assign(std::bit_ceil(tokens.size() * 2 + 1), -1);
  for (const std::string& token : tokens) {
    const auto id = static_cast<TokenId>(raw_ends_.size());
    const std::size_t free_slot = slot(token);
    if (index_[free_slot] >= 0)
      return fail(impossible("a token appears twice", tokens_key, "every token once",
                             fmt::format("ids {} and {} are both '{}'", index_[free_slot], id, token)));
    raw_ += token;
    raw_ends_.push_back(raw_.size());
    // Special tokens are spelled as they are; so is a token with characters of no byte, as Hugging Face
    // decodes it.
    const bool verbatim = type(id) == TokenType::control || type(id) == TokenType::user_defined;
    if (verbatim || !append_decoded(token, bytes_)) bytes_ += token;
    bytes_ends_.push_back(bytes_.size());
    index_[free_slot] = id;
  }
  return {};
}

Result<void> Vocabulary::find_byte_tokens() {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string symbol = byte_symbol(static_cast<std::uint8_t>(byte));
    byte_tokens_[byte] = find(symbol);
    if (byte_tokens_[byte] < 0)
      return fail(impossible("the vocabulary lacks a byte symbol, so not every text can be encoded",
                             tokens_key, fmt::format("'{}' for byte 0x{:02X}", symbol, byte),
                             "no such token"));
    const char itself = static_cast<char>(byte);
    if (bytes(byte_tokens_[byte]) != std::string_view(&itself, 1))
      return fail(impossible("a byte symbol is a special token", tokens_key, "a normal token", symbol));
  }
  return {};
}

// The slot that holds the spelling, or the empty one where it belongs.
std::size_t Vocabulary::slot(std::string_view raw) const {
  const std::size_t mask = index_.size() - 1;
  std::size_t at = std::hash<std::string_view>{}(raw)&mask;
  while (index_[at] >= 0 && this->raw(index_[at]) != raw) at = (at + 1) & mask;
  return at;
}

TokenId Vocabulary::find(std::string_view raw) const {
  return index_[slot(raw)];
}

}  // namespace trine::text
