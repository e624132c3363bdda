#pragma once

#include "backend/registry.h"
#include "base/error.h"
#include "gguf/file.h"
#include "model/device_model.h"
#include "model/load_options.h"
#include "model/weights.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trine::engine {

// A model and all that it needs to answer. Members point into earlier ones, which is why they live behind
// pointers and in this order.
struct LoadedModel {
  LoadedModel() = default;
  LoadedModel(LoadedModel&&) = default;
  LoadedModel& operator=(LoadedModel&& other) noexcept;

  std::unique_ptr<const gguf::File> file;
  std::unique_ptr<const model::Weights> weights;
  std::unique_ptr<const text::Tokenizer> tokenizer;  // null where it was not asked for
  backend::Choice choice;                            // what runs it, and why
  std::unique_ptr<model::DeviceModel> device;        // null before start_model()

  const model::Config& config() const { return weights->config; }
};

// The backend that `name` means here ("auto": the best), with the device and without the variants that the
// options name: asked before a model is read, so that a slip costs nothing. Errors: those of
// backend::choose_backend(), the entry's check_device and check_without, and
// model::refuse_host_options().
Result<backend::Choice> choose_backend(std::string_view name, const model::LoadOptions& options);

enum class Read { weights, weights_and_tokenizer };

// The file with its checked weights, not yet on its backend. A choice without an entry is the caller's to
// start. Errors: those of gguf::File::open(), model::load_weights() and text::Tokenizer::from_gguf().
Result<LoadedModel> open_model(const std::string& path, backend::Choice choice, Read read);

// The context to run with, in positions: `asked`, or the smaller of the model's own and `preferred`.
// Errors: usage ("context": more than the model was made for).
Result<std::int32_t> choose_context(const model::Config& config, std::optional<std::int32_t> asked,
                                    std::int32_t preferred);

// Puts an open model on its backend. Errors: those of the entry's load.
Result<void> start_model(LoadedModel& model, const model::LoadOptions& options);

}  // namespace trine::engine
