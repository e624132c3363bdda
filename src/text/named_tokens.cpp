#include "text/named_tokens.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace trine::text {
namespace {

constexpr std::string_view eos_key = "tokenizer.ggml.eos_token_id";
constexpr std::string_view bos_key = "tokenizer.ggml.bos_token_id";
constexpr std::string_view add_bos_key = "tokenizer.ggml.add_bos_token";
constexpr std::string_view suppress_key = "tokenizer.ggml.suppress_tokens";

// A reply ends at these as well: the ends of a text, of a turn and of a message, and what stands between
// files when a model is trained to fill in code.
constexpr std::array ending_keys{
    std::string_view("tokenizer.ggml.eos_token_ids"),    std::string_view("tokenizer.ggml.eot_token_id"),
    std::string_view("tokenizer.ggml.eom_token_id"),     std::string_view("tokenizer.ggml.fim_pad_token_id"),
    std::string_view("tokenizer.ggml.fim_rep_token_id"), std::string_view("tokenizer.ggml.fim_sep_token_id"),
};
// These have no part to play in what this program does.
constexpr std::array other_keys{
    std::string_view("tokenizer.ggml.padding_token_id"),
    std::string_view("tokenizer.ggml.unknown_token_id"),
    std::string_view("tokenizer.ggml.seperator_token_id"),
    std::string_view("tokenizer.ggml.mask_token_id"),
    std::string_view("tokenizer.ggml.fim_pre_token_id"),
    std::string_view("tokenizer.ggml.fim_suf_token_id"),
    std::string_view("tokenizer.ggml.fim_mid_token_id"),
    std::string_view("tokenizer.ggml.cls_token_id"),
};

// Sources: tokenizer_config.json of Qwen's models; what llama.cpp's vocabulary ends a reply at. In Qwen's
// vocabulary </s> is an ordinary token of code, so what is not Qwen's own counts only where the file marks
// it.
constexpr Spelling spellings[] = {
    {"<|im_start|>", false, true},   {"<|im_end|>", true, true},
    {"<|endoftext|>", true, true},   {"<|fim_prefix|>", false, true},
    {"<|fim_middle|>", false, true}, {"<|fim_suffix|>", false, true},
    {"<|fim_pad|>", true, true},     {"<|repo_name|>", true, true},
    {"<|file_sep|>", true, true},    {"<|fim_repo|>", true, false},
    {"<|eot_id|>", true, false},     {"<|eom_id|>", true, false},
    {"<|end|>", true, false},        {"<|return|>", true, false},
    {"<|call|>", true, false},       {"<|flush|>", true, false},
    {"<|calls|>", true, false},      {"<|end_of_text|>", true, false},
    {"<end_of_turn>", true, false},  {"<end_of_utterance>", true, false},
    {"<EOT>", true, false},          {"_<EOT>", true, false},
    {"[EOT]", true, false},          {"[EOS]", true, false},
    {"<eos>", true, false},          {"</s>", true, false},
};

// Appends the tokens that the key names.
class IdReader {
 public:
  IdReader(const gguf::Metadata& metadata, const Vocabulary& vocabulary)
      : metadata_(metadata), vocabulary_(vocabulary) {}

  Result<void> read(std::string_view key, std::vector<TokenId>& ids) {
    const gguf::Value* value = metadata_.find(key);
    if (value == nullptr) return {};
    if (const auto* array = std::get_if<gguf::Array>(&value->data)) {
      if (const auto* numbers = std::get_if<std::vector<std::uint64_t>>(&array->values))
        return add(key, *numbers, ids);
      if (const auto* numbers = std::get_if<std::vector<std::int64_t>>(&array->values))
        return add(key, *numbers, ids);
    } else if (const auto* number = std::get_if<std::uint64_t>(&value->data)) {
      return add(key, std::array{*number}, ids);
    } else if (const auto* number = std::get_if<std::int64_t>(&value->data)) {
      return add(key, std::array{*number}, ids);
    }
    return fail({.code = ErrorCode::model_load,
                 .what = "metadata key has the wrong kind of value",
                 .where = std::string(key),
                 .expected = "an integer or an array of integers",
                 .actual = kind_of(*value)});
  }

  // Keys whose ids the vocabulary does not have, in one sentence: a tool that writes one writes many.
  void warn_of_strays(std::vector<std::string>& warnings) const {
    if (strays_.empty()) return;
    warnings.push_back(fmt::format("not in the vocabulary of {} tokens, and taken as not stated: {}{}",
                                   vocabulary_.size(), fmt::join(strays_, ", "),
                                   more_ > 0 ? fmt::format(", and {} more", more_) : ""));
  }

 private:
  template <typename Numbers>
  Result<void> add(std::string_view key, const Numbers& numbers, std::vector<TokenId>& ids) {
    for (const auto number : numbers) {
      if (std::cmp_greater_equal(number, 0) && std::cmp_less(number, vocabulary_.size())) {
        ids.push_back(static_cast<TokenId>(number));
      } else if (strays_.size() == most_named) {
        ++more_;
      } else {
        strays_.push_back(fmt::format("{} ({})", key, number));
      }
    }
    return {};
  }

  const gguf::Metadata& metadata_;
  const Vocabulary& vocabulary_;
  static constexpr std::size_t most_named = 8;
  std::vector<std::string> strays_;
  std::size_t more_ = 0;
};

}  // namespace

const Spelling* find_spelling(std::string_view token) {
  const auto* found = std::find_if(std::begin(spellings), std::end(spellings),
                                   [&](const Spelling& one) { return one.text == token; });
  return found == std::end(spellings) ? nullptr : found;
}

Result<NamedTokens> read_named_tokens(const gguf::Metadata& metadata, const Vocabulary& vocabulary,
                                      std::vector<std::string>& warnings) {
  NamedTokens named;
  IdReader reader(metadata, vocabulary);
  std::vector<TokenId>& ends = named.end_of_generation;
  TRINE_CHECK_OK(reader.read(eos_key, ends));
  if (!ends.empty()) named.eos = ends.front();
  for (const std::string_view key : ending_keys) TRINE_CHECK_OK(reader.read(key, ends));
  for (const Spelling& spelling : spellings) {
    const TokenId id = spelling.ends ? vocabulary.find(spelling.text) : -1;
    if (id >= 0 && vocabulary.type(id) == TokenType::control) ends.push_back(id);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());

  std::vector<TokenId> others;
  for (const std::string_view key : other_keys) TRINE_CHECK_OK(reader.read(key, others));
  std::vector<TokenId> begins;
  TRINE_CHECK_OK(reader.read(bos_key, begins));
  if (!begins.empty()) named.bos = begins.front();
  std::vector<TokenId> suppressed;
  TRINE_CHECK_OK(reader.read(suppress_key, suppressed));
  if (!suppressed.empty())
    warnings.push_back(fmt::format("{} is not followed: give these tokens a logit bias", suppress_key));
  reader.warn_of_strays(warnings);

  if (metadata.find(add_bos_key) == nullptr) return named;
  TRINE_TRY(named.add_bos, metadata.get_bool(add_bos_key));
  if (named.add_bos && named.bos < 0)
    return fail({.code = ErrorCode::model_load,
                 .what = "the file wants a token at the beginning and does not say which",
                 .where = std::string(add_bos_key),
                 .expected = fmt::format("a token of the vocabulary under {}", bos_key),
                 .actual = metadata.find(bos_key) == nullptr ? "no such key" : "none"});
  return named;
}

}  // namespace trine::text
