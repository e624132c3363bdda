#pragma once

#include "base/error.h"
#include "gguf/file.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::text {

using TokenId = std::int32_t;

// Byte-level BPE as Qwen2 and Qwen3 use it (tokenizer.ggml.model "gpt2", tokenizer.ggml.pre "qwen2").
// Any byte string can be encoded, valid UTF-8 or not, and decode(encode(s, any), false) == s byte for byte. A
// byte that is no part of well-formed UTF-8 is split like a symbol: neither letter, digit, nor white space.
// For valid text the ids are Hugging Face's, with one exception: the original Qwen tokenizer.json normalises
// to NFC first. GGUF carries no normaliser, llama.cpp applies none and neither does Trine, so text that is
// not in NFC (an e followed by a combining acute) keeps its bytes and may get other ids. Immutable after
// construction: safe to share between threads.
class Tokenizer {
 public:
  // Reads only the tokenizer.* keys, so a vocabulary-only file of any architecture works.
  // Merges that name tokens which the vocabulary lacks can never apply and are left out.
  // Errors: unsupported (another tokenizer model or pre-tokenizer, by name), model_load (a missing or
  // impossible key).
  static Result<Tokenizer> from_gguf(const gguf::Metadata& metadata);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // `parse_special`: the text of a control token (`<|im_start|>`) becomes its id; otherwise its letters are
  // encoded like any text. User-defined tokens are always matched, as llama.cpp and Hugging Face do; of
  // several matches the leftmost wins, then the longest. Adds no token of its own: where add_bos() says so,
  // the caller puts bos() first. Time is near-linear in the text, whatever it holds.
  std::vector<TokenId> encode(std::string_view text, bool parse_special) const;
  // The same, but no control token has a byte at the offsets of `plain_at`, which ascend.
  std::vector<TokenId> encode(std::string_view text, bool parse_special,
                              std::span<const std::size_t> plain_at) const;
  // Where a control token is spelled in the text, also where its end may be spelling the beginning of one:
  // offsets, ascending.
  std::vector<std::size_t> find_control_spellings(std::string_view text) const;

  // The bytes a token stands for. Special tokens give their spelling. Empty when the id is out of range.
  std::string_view piece(TokenId id) const;
  // As stored in the vocabulary, in the byte-to-unicode alphabet ("Ġhello").
  std::string_view raw_piece(TokenId id) const;
  std::string decode(std::span<const TokenId> ids, bool skip_special) const;

  std::int32_t vocab_size() const;
  bool is_special(TokenId id) const;  // control tokens
  // The token with exactly this spelling, as raw_piece() gives it, or -1.
  TokenId find(std::string_view spelling) const;

  // Any end-of-generation token: what named_tokens.h takes for one.
  bool is_end_of_generation(TokenId id) const;
  std::span<const TokenId> end_of_generation() const;
  TokenId bos() const;  // -1 when the file names none
  TokenId eos() const;  // the first that the file's eos key names; -1 when none
  bool add_bos() const;

  // What the file states about its tokens and was not followed, a sentence each: for whoever runs the model.
  std::span<const std::string> warnings() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace trine::text
