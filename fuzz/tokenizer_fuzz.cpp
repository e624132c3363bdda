// Any bytes come back from encode and decode, and the streaming decoder shows the same text however they
// arrive.
#include "base/check.h"
#include "gguf/metadata.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using trine::text::StreamDecoder;
using trine::text::TokenId;
using trine::text::Tokenizer;

std::string utf8(unsigned code_point) {
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
}

// The 256 byte symbols, a few merges (also of pieces of characters) and special tokens of both kinds that
// overlap.
Tokenizer make_tokenizer() {
  std::vector<std::string> tokens;
  for (unsigned c = '!'; c < 0x144; ++c)
    if (c <= '~' || (c >= 0xA1 && c != 0xAD)) tokens.push_back(utf8(c));
  std::vector<std::string> merges = {"Ġ Ġ", "ĠĠ ĠĠ", "a a", "aa aa", "Ã ©", "ð Ł",
                                     "e r", "Ġ a",   "' s", "1 2",   "Ċ Ċ"};
  for (const std::string& merge : merges) {
    const std::size_t space = merge.find(' ');
    tokens.push_back(merge.substr(0, space) + merge.substr(space + 1));
  }
  std::vector<std::int32_t> types(tokens.size(), 1);
  const std::vector<std::pair<std::string, std::int32_t>> special = {
      {"<|im_start|>", 3}, {"<|im_end|>", 3}, {"<|", 3}, {"<think>", 4}, {"\xC3", 4}};
  for (const auto& [spelling, type] : special) {
    tokens.push_back(spelling);
    types.push_back(type);
  }
  trine::gguf::Metadata metadata;
  metadata.add("tokenizer.ggml.model", trine::gguf::make_value(std::string("gpt2")));
  metadata.add("tokenizer.ggml.pre", trine::gguf::make_value(std::string("qwen2")));
  metadata.add("tokenizer.ggml.tokens", trine::gguf::make_value(tokens));
  metadata.add("tokenizer.ggml.token_type", trine::gguf::make_value(types));
  metadata.add("tokenizer.ggml.merges", trine::gguf::make_value(merges));
  auto tokenizer = Tokenizer::from_gguf(metadata);
  trine::check(tokenizer.has_value(), "the fuzz vocabulary is valid");
  return *std::move(tokenizer);
}

// Of `text` cut after every `stride` bytes.
std::string stream(std::string_view text, std::size_t stride) {
  StreamDecoder decoder;
  std::string shown;
  for (std::size_t at = 0; at < text.size(); at += stride) shown += decoder.push(text.substr(at, stride));
  return shown + decoder.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer tokenizer = make_tokenizer();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string whole = stream(text, size + 1);
  for (const bool parse_special : {false, true}) {
    const std::vector<TokenId> ids = tokenizer.encode(text, parse_special);
    trine::check(tokenizer.decode(ids, false) == text, "decode(encode(text)) is the text");
    StreamDecoder decoder;
    std::string shown;
    for (const TokenId id : ids) shown += decoder.push(tokenizer.piece(id));
    trine::check(shown + decoder.finish() == whole, "streaming tokens shows the whole text");
  }
  trine::check(stream(text, 1) == whole && stream(text, 3) == whole,
               "streaming is the same however bytes arrive");
  trine::check(stream(whole, 1) == whole, "what is shown is valid UTF-8");
  return 0;
}
