#include "text/tokenizer.h"

#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/special_tokens.h"
#include "text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

#include <fmt/format.h>

namespace trine::text {
namespace {

constexpr std::string_view model_key = "tokenizer.ggml.model";
constexpr std::string_view pre_key = "tokenizer.ggml.pre";
constexpr std::string_view merges_key = "tokenizer.ggml.merges";
constexpr std::string_view bos_key = "tokenizer.ggml.bos_token_id";
constexpr std::string_view eos_key = "tokenizer.ggml.eos_token_id";
constexpr std::string_view eot_key = "tokenizer.ggml.eot_token_id";
constexpr std::string_view padding_key = "tokenizer.ggml.padding_token_id";
constexpr std::string_view add_bos_key = "tokenizer.ggml.add_bos_token";

Result<void> require_supported(const gguf::Metadata& metadata) {
  const auto require = [&](std::string_view key, std::string_view supported,
                           const char* what) -> Result<void> {
    TRINE_TRY(const std::string_view value, metadata.get_string(key));
    if (value == supported) return {};
    return fail({.code = ErrorCode::unsupported,
                 .what = what,
                 .where = std::string(key),
                 .expected = fmt::format("'{}'", supported),
                 .actual = fmt::format("'{}'", value),
                 .hint = "the tokenizers supported are: byte-level BPE of Qwen2 and Qwen3"});
  };
  TRINE_CHECK_OK(require(model_key, "gpt2", "this kind of tokenizer is not supported"));
  return require(pre_key, "qwen2", "this pre-tokenizer is not supported");
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

// -1 when the file does not name that token.
Result<TokenId> read_token_id(const gguf::Metadata& metadata, std::string_view key,
                              const Vocabulary& vocabulary) {
  if (metadata.find(key) == nullptr) return -1;
  TRINE_TRY(const std::uint64_t id, metadata.get_uint(key));
  if (id >= vocabulary.size())
    return fail({.code = ErrorCode::model_load,
                 .what = "a token id is not in the vocabulary",
                 .where = std::string(key),
                 .expected = fmt::format("less than {}", vocabulary.size()),
                 .actual = fmt::format("{}", id)});
  return static_cast<TokenId>(id);
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
  std::vector<TokenId> end_of_generation;  // ascending
  TokenId bos = -1;
  bool add_bos = false;

  Result<void> read_named_tokens(const gguf::Metadata& metadata);
  void collect_special_tokens();
};

Result<void> Tokenizer::State::read_named_tokens(const gguf::Metadata& metadata) {
  TRINE_TRY(bos, read_token_id(metadata, bos_key, vocabulary));
  TRINE_TRY(const TokenId eos, read_token_id(metadata, eos_key, vocabulary));
  TRINE_TRY(const TokenId eot, read_token_id(metadata, eot_key, vocabulary));
  TRINE_CHECK_OK(read_token_id(metadata, padding_key, vocabulary));
  for (const TokenId id : {eos, eot, vocabulary.find("<|im_end|>"), vocabulary.find("<|endoftext|>")})
    if (id >= 0) end_of_generation.push_back(id);
  std::sort(end_of_generation.begin(), end_of_generation.end());
  end_of_generation.erase(std::unique(end_of_generation.begin(), end_of_generation.end()),
                          end_of_generation.end());

  if (metadata.find(add_bos_key) == nullptr) return {};
  TRINE_TRY(add_bos, metadata.get_bool(add_bos_key));
  if (add_bos && bos < 0)
    return fail({.code = ErrorCode::model_load,
                 .what = "the file wants a token at the beginning and does not say which",
                 .where = std::string(add_bos_key),
                 .expected = fmt::format("the key {}", bos_key),
                 .actual = "no such key"});
  return {};
}

void Tokenizer::State::collect_special_tokens() {
  for (TokenId id = 0; vocabulary.contains(id); ++id) {
    const TokenType type = vocabulary.type(id);
    if (type == TokenType::control || type == TokenType::user_defined)
      special.add(vocabulary.raw(id), id, type == TokenType::user_defined);
  }
}

Result<Tokenizer> Tokenizer::from_gguf(const gguf::Metadata& metadata) {
  TRINE_CHECK_OK(require_supported(metadata));
  auto state = std::make_unique<State>();
  TRINE_TRY(state->vocabulary, Vocabulary::from_gguf(metadata));
  TRINE_TRY(state->merger, read_merges(metadata, state->vocabulary));
  TRINE_CHECK_OK(state->read_named_tokens(metadata));
  state->collect_special_tokens();
  return Tokenizer(std::move(state));
}

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 1);
  WordCache cache(text, ids);
  WordSplitter words(state_->pretokenizer);
  for (std::size_t at = 0; at < text.size();) {
    const SpecialTokens::Match match = state_->special.find(text, at, parse_special);
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
  return std::find(state_->end_of_generation.begin(), state_->end_of_generation.end(), id) !=
         state_->end_of_generation.end();
}

std::span<const TokenId> Tokenizer::end_of_generation() const {
  return state_->end_of_generation;
}
TokenId Tokenizer::bos() const {
  return state_->bos;
}
bool Tokenizer::add_bos() const {
  return state_->add_bos;
}

}  // namespace trine::text
