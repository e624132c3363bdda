#pragma once

#include "base/error.h"
#include "gguf/metadata.h"
#include "text/vocabulary.h"

#include <string>
#include <string_view>
#include <vector>

namespace trine::text {

// What the spelling of a token says of it, whatever type the file gives it.
struct Spelling {
  std::string_view text;
  bool ends;    // a reply ends at it
  bool is_own;  // of Qwen's models: always a control token; others only where they are no ordinary token
};
// Null for an ordinary spelling.
const Spelling* find_spelling(std::string_view token);

// Tokens that the file's keys or the spelling give a part to play.
struct NamedTokens {
  std::vector<TokenId> end_of_generation;  // ascending
  TokenId bos = -1;                        // -1: none
  TokenId eos = -1;
  bool add_bos = false;
};

// From tokenizer.ggml.*_token_id and the vocabulary. Ids may be arrays. One that is not in the vocabulary is
// as if it were not there: other tools write -1, 4294967295 or another model's id where they mean none.
// `warnings` gets a sentence. Errors: model_load for a value that is no integer, or where a token is
// to stand in front of every text and none is named.
Result<NamedTokens> read_named_tokens(const gguf::Metadata& metadata, const Vocabulary& vocabulary,
                                      std::vector<std::string>& warnings);

}  // namespace trine::text
