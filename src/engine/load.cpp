#include "engine/load.h"

#include "base/check.h"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace trine::engine {

Result<backend::Choice> choose_backend(std::string_view name, const model::LoadOptions& options) {
  TRINE_TRY(backend::Choice choice, backend::choose_backend(name, options.device));
  TRINE_CHECK_OK(choice.entry->check_device(options.device));
  TRINE_CHECK_OK(choice.entry->check_without(options.without));
  if (choice.entry->is_gpu) TRINE_CHECK_OK(model::refuse_host_options(options, choice.entry->name));
  return choice;
}

Result<LoadedModel> open_model(const std::string& path, backend::Choice choice, Read read) {
  LoadedModel model;
  model.choice = std::move(choice);
  TRINE_TRY(gguf::File file, gguf::File::open(path));
  model.file = std::make_unique<const gguf::File>(std::move(file));
  TRINE_TRY(model::Weights weights, model::load_weights(*model.file));
  model.weights = std::make_unique<const model::Weights>(std::move(weights));
  if (read == Read::weights) return model;
  TRINE_TRY(text::Tokenizer tokenizer, text::Tokenizer::from_gguf(model.file->metadata()));
  model.tokenizer = std::make_unique<const text::Tokenizer>(std::move(tokenizer));
  return model;
}

Result<std::int32_t> choose_context(const model::Config& config, std::optional<std::int32_t> asked,
                                    std::int32_t preferred) {
  if (!asked) return std::min(config.context_length, preferred);
  if (*asked > config.context_length) {
    return fail({.code = ErrorCode::usage,
                 .what = "'context' is larger than the model's context",
                 .where = "context",
                 .expected = fmt::format("at most {} tokens", config.context_length),
                 .actual = fmt::format("{}", *asked)});
  }
  return *asked;
}

// Backwards, so that what was here goes before what it points into.
LoadedModel& LoadedModel::operator=(LoadedModel&& other) noexcept {
  device = std::move(other.device);
  choice = std::move(other.choice);
  tokenizer = std::move(other.tokenizer);
  weights = std::move(other.weights);
  file = std::move(other.file);
  return *this;
}

Result<void> start_model(LoadedModel& model, const model::LoadOptions& options) {
  check(model.choice.entry != nullptr, "the model was opened with a backend");
  TRINE_TRY(model.device, model.choice.entry->load(*model.weights, options));
  return {};
}

}  // namespace trine::engine
