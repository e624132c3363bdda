#pragma once

#include "base/error.h"
#include "cli/options.h"
#include "engine/load.h"
#include "gguf/file.h"
#include "model/device_model.h"
#include "model/load_options.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace trine::cli {

// Where a model comes from and what runs it, as the flags say.
struct ModelOptions {
  std::string path;  // empty: the demo model
  std::string backend = "auto";
  std::string numerics = "fast";
  std::string kv;  // empty: what the numerics and the weights ask for
  bool skip_self_test = false;
  model::LoadOptions load;  // threads, pin, numa, device and without, as the flags set them

  // These with what the other flags say.
  model::LoadOptions load_options() const;
};

// --model alone, for commands that run nothing. Returns it, to exclude an argument that says the same.
OptionRef add_model_path(CLI::App& app, std::string& path);
// --model, --backend, --device, --numerics, --kv, --threads, --pin, --numa, --without, --no-self-test.
// Returns --model.
OptionRef add_model_options(CLI::App& app, ModelOptions& options);
OptionRef add_device(CLI::App& app, std::string& device);
OptionRef add_numa(CLI::App& app, std::optional<bool>& spread);
OptionRef add_without(CLI::App& app, std::vector<std::string>& without);
OptionRef add_kv(CLI::App& app, ModelOptions& options);
OptionRef add_no_self_test(CLI::App& app, ModelOptions& options);

// `path`, or the demo model when it is empty: in $TRINE_MODELS, then ../share/trine/models beside the
// executable, then models/ in the executable's directory or any directory above it. Errors: file_not_found,
// listing where it was looked for.
struct ModelPath {
  std::string path;
  bool is_demo = false;
};
Result<ModelPath> find_model(const std::string& path);

// For what needs a model only later: a path where nothing is would be found out behind errors that follow
// from it. Errors: those of gguf::File::open() then.
Result<void> require_model_file(const std::string& path);

// Says on stderr that the demo model is used, when it is.
void introduce_demo(const ModelPath& model);

// The engine's, and where its file was found.
struct LoadedModel : engine::LoadedModel {
  ModelPath source;
};

// A model that is not yet on its backend; what its file states and is not followed is said on stderr. Errors:
// those of engine::choose_backend(), find_model() and engine::open_model().
Result<LoadedModel> open_model(const ModelOptions& options, engine::Read read = engine::Read::weights);
// The same with another choice of what runs it.
Result<LoadedModel> open_model(const ModelOptions& options, backend::Choice choice, engine::Read read);

// Says on stderr, sentence by sentence, what a file states and is not followed.
void warn_of_file(std::span<const std::string> warnings);

// engine::start_model() with room for `context` positions of `slots` sequences together. Warns on stderr of
// kernels that a self-test switched off.
Result<void> start_backend(LoadedModel& model, const ModelOptions& options, std::int32_t context,
                           std::int32_t slots = 1);

// Warns on stderr when the model cannot stay in memory.
void warn_if_larger_than_memory(const gguf::File& file);

// "AMD EPYC, AVX2, 2 threads, fast numerics, f16 KV cache".
std::string describe_device(const model::DeviceInfo& device);
// Every field of DeviceInfo that is set.
nlohmann::ordered_json device_json(const model::DeviceInfo& device);

}  // namespace trine::cli
