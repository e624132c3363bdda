#include "contract/judge/prompts.h"

#include "base/file.h"
#include "base/random.h"
#include "base/sha256.h"
#include "contract/judge/prompt_texts.h"
#include "text/tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace trine::contract {
namespace {

constexpr std::int64_t usual_tokens = 24;
constexpr std::int64_t long_tokens = 72;
constexpr std::size_t quick_prompts = 4;
constexpr std::uint64_t max_prompt_file = 16 << 20;

using Ids = std::vector<std::int32_t>;

// Errors: those of Tokenizer::from_gguf; nothing when the file has no tokenizer at all.
Result<std::optional<text::Tokenizer>> tokenizer_of(const gguf::Metadata& metadata) {
  if (metadata.find("tokenizer.ggml.tokens") == nullptr) return std::nullopt;
  TRINE_TRY(text::Tokenizer tokenizer, text::Tokenizer::from_gguf(metadata));
  return std::optional<text::Tokenizer>(std::move(tokenizer));
}

// At least the shortest prompt and at most `tokens`: a text of few tokens is repeated.
Ids encode(const text::Tokenizer& tokenizer, const std::string& text, std::int64_t tokens) {
  const Ids once = tokenizer.encode(text, true);
  Ids ids;
  while (!once.empty() && static_cast<std::int64_t>(ids.size()) < tokens)
    ids.insert(ids.end(), once.begin(), once.end());
  ids.resize(std::min(ids.size(), static_cast<std::size_t>(tokens)));
  return ids;
}

Ids drawn(std::uint64_t seed, std::int64_t tokens, const model::Config& config) {
  Ids ids;
  for (std::int64_t i = 0; i < tokens; ++i)
    ids.push_back(
        static_cast<std::int32_t>(uniform_at(seed, static_cast<std::uint64_t>(i)) * config.vocab_size));
  return ids;
}

Error bad_prompts(const std::string& where, std::string what, std::string expected, std::string actual) {
  return {.code = ErrorCode::validation_failed,
          .what = std::move(what),
          .where = where,
          .expected = std::move(expected),
          .actual = std::move(actual)};
}

Result<Ids> ids_of_item(const nlohmann::json& item, const std::string& where,
                        const std::optional<text::Tokenizer>& tokenizer) {
  if (item.is_string()) {
    if (!tokenizer)
      return fail(bad_prompts(where, "the model has no tokenizer for a text", "an array of ids", "a text"));
    return tokenizer->encode(item.get<std::string>(), true);
  }
  if (!item.is_array())
    return fail(bad_prompts(where, "a prompt is neither a text nor an array of ids", "a string or an array",
                            item.type_name()));
  Ids ids;
  for (const nlohmann::json& id : item) {
    if (!id.is_number_integer() || id < 0 || id > std::int64_t{INT32_MAX})
      return fail(
          bad_prompts(where, "an id of the prompt is no token id", "a whole number from 0", id.dump()));
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

}  // namespace

std::int64_t PromptSet::rows() const {
  std::int64_t rows = 0;
  for (const Prompt& prompt : prompts) rows += prompt.size();
  return rows;
}

std::int64_t PromptSet::longest() const {
  std::int64_t longest = 0;
  for (const Prompt& prompt : prompts) longest = std::max(longest, prompt.size());
  return longest;
}

std::string PromptSet::sha256() const {
  std::string canonical;
  for (const Prompt& prompt : prompts) canonical += fmt::format("{}\n", fmt::join(prompt.tokens, ","));
  return trine::sha256(canonical);
}

Result<void> PromptSet::check(const model::Config& config) const {
  if (prompts.empty()) return fail(ErrorCode::validation_failed, "there is no prompt");
  std::map<Ids, std::string_view> known;
  for (const Prompt& prompt : prompts) {
    const std::string where = fmt::format("prompt '{}'", prompt.name);
    if (const auto [same, is_new] = known.try_emplace(prompt.tokens, prompt.name); !is_new)
      return fail(bad_prompts(where, "a prompt stands there twice", "different prompts",
                              fmt::format("the tokens of prompt '{}'", same->second)));
    if (prompt.size() < shortest_prompt)
      return fail(bad_prompts(where, "a prompt is too short to be judged",
                              fmt::format("at least {} tokens, the last {} of them decoded one by one",
                                          shortest_prompt, decode_positions),
                              fmt::format("{}", prompt.size())));
    if (prompt.size() > config.context_length)
      return fail(bad_prompts(where, "a prompt is longer than the model's context",
                              fmt::format("at most {} tokens", config.context_length),
                              fmt::format("{}", prompt.size())));
    for (const std::int32_t id : prompt.tokens)
      if (id < 0 || id >= config.vocab_size)
        return fail(bad_prompts(where, "a token is outside the vocabulary",
                                fmt::format("0 to {}", config.vocab_size - 1), fmt::format("{}", id)));
  }
  return {};
}

Result<PromptSet> builtin_prompts(const gguf::Metadata& metadata, const model::Config& config) {
  TRINE_TRY(const std::optional<text::Tokenizer> tokenizer, tokenizer_of(metadata));
  const auto room = [&](std::int64_t tokens) {
    return std::min<std::int64_t>(tokens, config.context_length);
  };
  PromptSet set;
  std::uint64_t seed = 0;
  const auto add = [&](std::string name, const std::string& text, std::int64_t tokens) {
    ++seed;
    Ids ids = tokenizer ? encode(*tokenizer, text, room(tokens)) : drawn(seed, room(tokens), config);
    const bool is_known = std::any_of(set.prompts.begin(), set.prompts.end(),
                                      [&](const Prompt& prompt) { return prompt.tokens == ids; });
    if (!is_known) set.prompts.push_back({std::move(name), std::move(ids)});
  };
  std::string all = long_text.text;
  for (const PromptText& text : prompt_texts) {
    add(text.name, text.text, usual_tokens);
    all += text.text;
  }
  add(long_text.name, long_text.text, long_tokens);
  add("all texts", all, longest_prompt);
  const Ids fixed(std::begin(fixed_ids), std::end(fixed_ids));
  if (*std::max_element(fixed.begin(), fixed.end()) < config.vocab_size)
    set.prompts.push_back({"fixed ids", fixed});
  TRINE_CHECK_OK(set.check(config));
  return set;
}

Result<PromptSet> read_prompts(const std::string& path, const gguf::Metadata& metadata,
                               const model::Config& config) {
  TRINE_TRY(const std::string text, read_file(path, max_prompt_file));
  const nlohmann::json document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_array())
    return fail(bad_prompts(path, "the prompts are no JSON array", "an array of texts or of arrays of ids",
                            document.is_discarded() ? "no JSON" : document.type_name()));
  if (document.size() > most_prompts)
    return fail(bad_prompts(path, "too many prompts", fmt::format("at most {}", most_prompts),
                            fmt::format("{}", document.size())));
  TRINE_TRY(const std::optional<text::Tokenizer> tokenizer, tokenizer_of(metadata));
  PromptSet set;
  for (std::size_t i = 0; i < document.size(); ++i) {
    const std::string name = fmt::format("{}", i + 1);
    TRINE_TRY(Ids ids, ids_of_item(document[i], fmt::format("{}, item {}", path, name), tokenizer));
    set.prompts.push_back({name, std::move(ids)});
  }
  if (auto sound = set.check(config); !sound) {
    Error error = std::move(sound).error();
    error.where = error.where.empty() ? path : path + ", " + error.where;
    return fail(std::move(error));
  }
  return set;
}

PromptSet quick_subset(const PromptSet& all) {
  PromptSet quick;
  const std::size_t count = all.prompts.size(), wanted = std::min(count, quick_prompts);
  const auto is_known = [&](const Prompt& cut) {
    return std::any_of(quick.prompts.begin(), quick.prompts.end(),
                       [&](const Prompt& prompt) { return prompt.tokens == cut.tokens; });
  };
  const auto shorter = [](const Prompt& a, const Prompt& b) { return a.size() < b.size(); };
  const auto longest = std::max_element(all.prompts.begin(), all.prompts.end(), shorter);
  for (std::size_t i = 0; i < wanted; ++i) {
    const bool is_long = i == wanted / 2;
    const std::size_t from =
        is_long ? static_cast<std::size_t>(longest - all.prompts.begin()) : i * (count - 1) / (wanted - 1);
    // Prompts may begin alike.
    for (std::size_t next = 0; next < count; ++next) {
      Prompt prompt = all.prompts[(from + next) % count];
      prompt.tokens.resize(
          std::min<std::size_t>(prompt.tokens.size(), is_long ? quick_long_prompt : shortest_prompt));
      if (is_known(prompt)) continue;
      quick.prompts.push_back(std::move(prompt));
      break;
    }
  }
  return quick;
}

}  // namespace trine::contract
