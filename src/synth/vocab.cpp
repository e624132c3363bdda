#include "synth/vocab.h"

#include "text/tokenizer.h"
#include "text/vocabulary.h"

#include <fmt/format.h>
#include <utility>
#include <variant>

namespace trine::synth {
namespace {

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens";

// Values of tokenizer.ggml.token_type. Source: ggml's docs/gguf.md.
constexpr std::int32_t type_normal = 1, type_control = 3, type_unused = 5;

constexpr std::string_view chat_template =
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

std::string pad_token(std::size_t id) {
  return fmt::format("[PAD{}]", id);
}

// Lengthens one of the arrays that have an entry per token. An array of an unexpected kind is left as it is:
// Tokenizer::from_gguf() judges the result.
void pad(std::string_view key, gguf::Value& value, std::size_t size) {
  auto* array = std::get_if<gguf::Array>(&value.data);
  if (array == nullptr) return;
  if (auto* strings = std::get_if<std::vector<std::string>>(&array->values);
      strings != nullptr && key == tokens_key) {
    while (strings->size() < size) strings->push_back(pad_token(strings->size()));
  }
  if (key == "tokenizer.ggml.token_type") {
    if (auto* types = std::get_if<std::vector<std::int64_t>>(&array->values))
      types->resize(size, type_unused);
    if (auto* types = std::get_if<std::vector<std::uint64_t>>(&array->values))
      types->resize(size, type_unused);
  }
  if (key == "tokenizer.ggml.scores") {
    if (auto* scores = std::get_if<std::vector<double>>(&array->values)) scores->resize(size, 0);
  }
}

}  // namespace

Result<std::vector<gguf::Metadata::Entry>> copied_vocabulary(const gguf::Metadata& source,
                                                             const std::string& path,
                                                             std::int32_t vocab_size) {
  const auto in_file = [&](Error error) {
    error.where = error.where.empty() ? path : fmt::format("{}, {}", path, error.where);
    return error;
  };
  const auto tokens = source.get_strings(tokens_key);
  if (!tokens) return fail(in_file(tokens.error()));
  const auto size = static_cast<std::size_t>(vocab_size);
  if ((*tokens)->size() > size) {
    return fail({.code = ErrorCode::validation_failed,
                 .what = "the vocabulary is larger than the preset's",
                 .where = path,
                 .expected = fmt::format("at most {} tokens", vocab_size),
                 .actual = fmt::format("{} tokens", (*tokens)->size()),
                 .hint = "Use another preset or another --vocab"});
  }
  std::vector<gguf::Metadata::Entry> entries;
  gguf::Metadata padded;
  for (const auto& [key, value] : source.entries()) {
    if (!key.starts_with("tokenizer.")) continue;
    entries.emplace_back(key, value);
    pad(key, entries.back().second, size);
    padded.add(key, entries.back().second);
  }
  if (const auto readable = text::Tokenizer::from_gguf(padded); !readable)
    return fail(in_file(readable.error()));
  return entries;
}

std::vector<gguf::Metadata::Entry> byte_vocabulary(std::int32_t vocab_size) {
  std::vector<std::string> tokens;
  for (unsigned byte = 0; byte < 256; ++byte)
    tokens.push_back(text::byte_symbol(static_cast<std::uint8_t>(byte)));
  std::vector<std::int32_t> types(tokens.size(), type_normal);
  const auto add_control = [&](std::string spelling) {
    const auto id = static_cast<std::uint32_t>(tokens.size());
    tokens.push_back(std::move(spelling));
    types.push_back(type_control);
    return id;
  };
  const std::uint32_t end_of_text = add_control("<|endoftext|>");
  add_control("<|im_start|>");
  const std::uint32_t im_end = add_control("<|im_end|>");
  while (tokens.size() < static_cast<std::size_t>(vocab_size)) tokens.push_back(pad_token(tokens.size()));
  types.resize(tokens.size(), type_unused);
  return {
      {"tokenizer.ggml.model", gguf::make_value(std::string("gpt2"))},
      {"tokenizer.ggml.pre", gguf::make_value(std::string("qwen2"))},
      {std::string(tokens_key), gguf::make_value(std::move(tokens))},
      {"tokenizer.ggml.token_type", gguf::make_value(std::move(types))},
      {"tokenizer.ggml.merges", gguf::make_value(std::vector<std::string>{})},
      {"tokenizer.ggml.eos_token_id", gguf::make_value(im_end)},
      {"tokenizer.ggml.padding_token_id", gguf::make_value(end_of_text)},
      {"tokenizer.ggml.add_bos_token", gguf::make_value(false)},
      {"tokenizer.chat_template", gguf::make_value(std::string(chat_template))},
  };
}

}  // namespace trine::synth
