#include "text/tokenizer.h"

#include "text/bpe.h"
#include "text/named_tokens.h"
#include "text/pretokenizer.h"
#include "text/special_tokens.h"
#include "text/vocabulary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace trine::text {
namespace {

constexpr std::string_view model_key = "tokenizer.ggml.model";
constexpr std::string_view pre_key = "tokenizer.ggml.pre";
constexpr std::string_view merges_key = "tokenizer.ggml.merges";

Error unsupported(std::string what, std::string_view key, std::string expected, std::string_view value) {
  return {.code = ErrorCode::unsupported,
          .what = std::move(what),
          .where = std::string(key),
          .expected = std::move(expected),
          .actual = gguf::quote(value),
          .hint = "the tokenizers supported are: byte-level BPE of Qwen2 and Qwen3"};
}

// Names under which llama.cpp knows Qwen2's way of splitting words.
constexpr std::array qwen2_names{std::string_view("qwen2"), std::string_view("deepseek-r1-qwen"),
                                 std::string_view("kormo"), std::string_view("f2llmv2"),
                                 std::string_view("megrez")};

Result<void> require_supported(const gguf::Metadata& metadata, std::vector<std::string>& warnings) {
  TRINE_TRY(const std::string_view model, metadata.get_string(model_key));
  if (model != "gpt2")
    return fail(unsupported("this kind of tokenizer is not supported", model_key, "'gpt2'", model));
  const auto architecture = metadata.get_string("general.architecture");
  if (metadata.find(pre_key) == nullptr && architecture && architecture->starts_with("qwen")) {
    warnings.push_back(fmt::format("the file does not state {}: qwen2, as all models of {} have", pre_key,
                                   gguf::quote(*architecture)));
    return {};
  }
  TRINE_TRY(const std::string_view pre, metadata.get_string(pre_key));
  if (std::find(qwen2_names.begin(), qwen2_names.end(), pre) != qwen2_names.end()) return {};
  return fail(unsupported("this pre-tokenizer is not supported", pre_key,
                          fmt::format("'{}'", fmt::join(qwen2_names, "', '")), pre));
}

Result<BytePairMerger> read_merges(const gguf::Metadata& metadata, const Vocabulary& vocabulary) {
  TRINE_TRY(const std::vector<std::string>* const merges, metadata.get_strings(merges_key));
  const auto impossible = [&](std::size_t rank, const char* what, const char* expected) {
    return fail({.code = ErrorCode::model_load,
                 .what = what,
                 .where = fmt::format("{}[{}]", merges_key, rank),
                 .expected = expected,
                 .actual = fmt::format("'{}'", (*merges)[rank])});
  };
  if (merges->size() > BytePairMerger::max_merges)
    return fail({.code = ErrorCode::model_load,
                 .what = "too many merges",
                 .where = std::string(merges_key),
                 .expected = fmt::format("at most {}", BytePairMerger::max_merges),
                 .actual = fmt::format("{}", merges->size())});
  BytePairMerger merger(vocabulary.byte_tokens(), merges->size());
  std::string joined;
  for (std::size_t rank = 0; rank < merges->size(); ++rank) {
    const std::string_view merge = (*merges)[rank];
    const std::size_t space = merge.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos)
      return impossible(rank, "a merge does not parse", "two tokens with one space between");
    const std::string_view left_text = merge.substr(0, space);
    const std::string_view right_text = merge.substr(space + 1);
    joined = left_text;
    joined += right_text;
    const TokenId left = vocabulary.find(left_text);
    const TokenId right = vocabulary.find(right_text);
    const TokenId merged = vocabulary.find(joined);
    if (left < 0 || right < 0 || merged < 0) continue;  // can never apply: a vocabulary that was cut down
    if (!merger.add(left, right, static_cast<std::uint32_t>(rank), merged))
      return impossible(rank, "a merge appears twice", "every pair once");
  }
  return merger;
}

// Words of one encode() call that were merged already. Each entry points at where the word stood in the text
// and at its tokens in the output, so the cache owns nothing and needs no lock.
class WordCache {
 public:
  WordCache(std::string_view text, std::vector<TokenId>& out)
      : text_(text),
        out_(out),
        entries_(std::bit_ceil(std::clamp<std::size_t>(text.size() / 16, 1, 16384))) {}

  void encode(std::string_view word, const BytePairMerger& merger) {
    constexpr std::size_t longest = 48;
    if (word.size() < 2 || word.size() > longest) {
      merger.encode(word, out_);
      return;
    }
    Entry& entry = entries_[std::hash<std::string_view>{}(word) & (entries_.size() - 1)];
    if (text_.substr(entry.text_begin, entry.text_length) == word) {
      // By index: growing the vector moves what an iterator would point at.
      for (std::size_t i = 0; i < entry.token_count; ++i) out_.push_back(out_[entry.first_token + i]);
      return;
    }
    const std::size_t first_token = out_.size();
    merger.encode(word, out_);
    entry = {static_cast<std::size_t>(word.data() - text_.data()), word.size(), first_token,
             out_.size() - first_token};
  }

 private:
  struct Entry {
    std::size_t text_begin = 0, text_length = 0;
    std::size_t first_token = 0, token_count = 0;
  };
  std::string_view text_;
  std::vector<TokenId>& out_;
  std::vector<Entry> entries_;
};

}  // namespace

struct Tokenizer::State {
  Vocabulary vocabulary;
  BytePairMerger merger;
  SpecialTokens special;
  Pretokenizer pretokenizer;
  NamedTokens named;
  std::vector<std::string> warnings;

  Result<void> collect_special_tokens();
};

Result<void> Tokenizer::State::collect_special_tokens() {
  for (TokenId id = 0; vocabulary.contains(id); ++id) {
    const TokenType type = vocabulary.type(id);
    if (type != TokenType::control && type != TokenType::user_defined) continue;
    if (!special.add(vocabulary.raw(id), id, type == TokenType::user_defined))
      return fail({.code = ErrorCode::unsupported,
                   .what = "control and user-defined tokens are too long",
                   .where = fmt::format("tokenizer.ggml.tokens[{}]", id),
                   .expected = fmt::format("at most {} bytes each, and {} together",
                                           SpecialTokens::longest_spelling, SpecialTokens::most_bytes),
                   .actual = fmt::format("{} bytes", vocabulary.raw(id).size())});
  }
  return {};
}

Result<Tokenizer> Tokenizer::from_gguf(const gguf::Metadata& metadata) {
  auto state = std::make_unique<State>();
  TRINE_CHECK_OK(require_supported(metadata, state->warnings));
  TRINE_TRY(state->vocabulary, Vocabulary::from_gguf(metadata, state->warnings));
  TRINE_TRY(state->merger, read_merges(metadata, state->vocabulary));
  TRINE_TRY(state->named, read_named_tokens(metadata, state->vocabulary, state->warnings));
  TRINE_CHECK_OK(state->collect_special_tokens());
  return Tokenizer(std::move(state));
}

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool parse_special) const {
  return encode(text, parse_special, {});
}

std::vector<std::size_t> Tokenizer::find_control_spellings(std::string_view text) const {
  std::vector<std::size_t> found;
  const SpecialTokens& special = state_->special;
  for (std::size_t at = 0; at < text.size();) {
    const SpecialTokens::Match match = special.find(text, at, true);
    if (match.length == 0) break;
    if (is_special(match.id)) found.push_back(match.begin);
    // Within a user-defined token, or behind the first byte of a control token, another may begin.
    at = match.begin + 1;
  }
  const std::size_t begun = special.find_begun(text);
  if (begun < text.size() && (found.empty() || found.back() < begun)) found.push_back(begun);
  return found;
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool parse_special,
                                       std::span<const std::size_t> plain_at) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 1);
  WordCache cache(text, ids);
  WordSplitter words(state_->pretokenizer);
  for (std::size_t at = 0; at < text.size();) {
    const SpecialTokens::Match match = state_->special.find(text, at, parse_special, plain_at);
    words.start(text.substr(at, match.begin - at));
    for (std::string_view word = words.next(); !word.empty(); word = words.next())
      cache.encode(word, state_->merger);
    if (match.length > 0) ids.push_back(match.id);
    at = match.begin + match.length;
  }
  return ids;
}

std::string_view Tokenizer::piece(TokenId id) const {
  return state_->vocabulary.contains(id) ? state_->vocabulary.bytes(id) : std::string_view();
}

std::string_view Tokenizer::raw_piece(TokenId id) const {
  return state_->vocabulary.contains(id) ? state_->vocabulary.raw(id) : std::string_view();
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string text;
  for (const TokenId id : ids)
    if (!skip_special || !is_special(id)) text += piece(id);
  return text;
}

std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(state_->vocabulary.size());
}

bool Tokenizer::is_special(TokenId id) const {
  return state_->vocabulary.contains(id) && state_->vocabulary.type(id) == TokenType::control;
}

TokenId Tokenizer::find(std::string_view spelling) const {
  return state_->vocabulary.find(spelling);
}

bool Tokenizer::is_end_of_generation(TokenId id) const {
  const std::vector<TokenId>& ends = state_->named.end_of_generation;
  return std::find(ends.begin(), ends.end(), id) != ends.end();
}

std::span<const TokenId> Tokenizer::end_of_generation() const {
  return state_->named.end_of_generation;
}

TokenId Tokenizer::bos() const {
  return state_->named.bos;
}

TokenId Tokenizer::eos() const {
  return state_->named.eos;
}

bool Tokenizer::add_bos() const {
  return state_->named.add_bos;
}

std::span<const std::string> Tokenizer::warnings() const {
  return state_->warnings;
}

}  // namespace trine::text
