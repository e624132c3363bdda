#pragma once

#include "base/error.h"
#include "gguf/metadata.h"
#include "model/config.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trine::contract {

// How many of a prompt's last tokens are fed one by one (teacher-forced decode); the rest is one prefill.
// Logits are judged at the last prefill position and at each of these.
inline constexpr std::int64_t decode_positions = 8;
inline constexpr std::int64_t judged_positions = decode_positions + 1;
inline constexpr std::int64_t shortest_prompt = 12;  // tokens
// Of one prompt of quick_subset, where the set has it: its prefill is long enough for a product of tiles,
// which backends have for batches of more than 16 rows.
inline constexpr std::int64_t quick_long_prompt = 32;
inline constexpr std::size_t full_prompt_count = 16;
inline constexpr std::int64_t longest_prompt = 300;  // tokens of the longest built-in one: five pages of 64

struct Prompt {
  std::string name;  // "python", "fixed ids"
  std::vector<std::int32_t> tokens;

  std::int64_t size() const { return static_cast<std::int64_t>(tokens.size()); }
  std::int64_t prefill() const { return size() - decode_positions; }
};

struct PromptSet {
  std::vector<Prompt> prompts;

  std::int64_t rows() const;
  // Of the canonical form: the token ids in decimal, separated by commas, one prompt a line.
  std::string sha256() const;
  std::int64_t longest() const;
  // Whether this model can run them. Errors: validation_failed (no prompt, one that is too short or too long
  // or stands there twice, an id outside the vocabulary, by name).
  Result<void> check(const model::Config& config) const;
};

// The built-in texts (code, prose, several scripts, digits, chat), cut to 24 tokens, one of 72 that crosses
// from one KV page to the next, all texts one after another, the long one first, cut to 300 tokens, and the
// fixed ids 785, 9217, 308, … where the vocabulary has them. None stands there twice, whatever the
// vocabulary. Tokenised with the model's own tokenizer; a file without one gets ids drawn from a counter.
// Errors: those of Tokenizer::from_gguf and of PromptSet::check.
Result<PromptSet> builtin_prompts(const gguf::Metadata& metadata, const model::Config& config);

// Of a file: each takes minutes with a full-size model.
inline constexpr std::size_t most_prompts = 256;

// A JSON array whose items are texts or arrays of ids. Errors: file_not_found, io, validation_failed (which
// item, and why).
Result<PromptSet> read_prompts(const std::string& path, const gguf::Metadata& metadata,
                               const model::Config& config);

// Four prompts spread over the set, no two alike, of at most 12 tokens but for one of at most 32: what
// --quick runs.
PromptSet quick_subset(const PromptSet& all);

}  // namespace trine::contract
