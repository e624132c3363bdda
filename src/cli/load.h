#pragma once

#include "base/error.h"
#include "cli/options.h"
#include "gguf/file.h"
#include "model/device_model.h"
#include "model/weights.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
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
  std::string device;  // empty: the backend's best
  std::string numerics = "fast";
  int threads = 0;                   // 0: every core this process may use
  std::vector<std::string> without;  // of the backend's variants
  bool skip_self_test = false;
};

// --model alone, for commands that run nothing.
void add_model_path(CLI::App& app, std::string& path);
// --model, --backend, --device, --numerics, --threads, --without, --no-self-test.
void add_model_options(CLI::App& app, ModelOptions& options);
OptionRef add_without(CLI::App& app, std::vector<std::string>& without);
OptionRef add_no_self_test(CLI::App& app, ModelOptions& options);

// `path`, or the demo model when it is empty: in $TRINE_MODELS, then ../share/trine/models beside the
// executable, then models/ in the executable's directory or any directory above it. Errors: file_not_found,
// listing where it was looked for.
struct ModelPath {
  std::string path;
  bool is_demo = false;
};
Result<ModelPath> find_model(const std::string& path);

// Says on stderr that the demo model is used, when it is.
void introduce_demo(const ModelPath& model);

// A model ready to run. Members point into earlier ones, which is why they live behind pointers and in this
// order.
struct LoadedModel {
  ModelPath source;
  std::unique_ptr<const gguf::File> file;
  std::unique_ptr<const model::Weights> weights;
  std::unique_ptr<model::DeviceModel> device;
  std::string choice;  // why this backend: "auto chose cpu, …" or "as asked"

  const model::Config& config() const { return weights->config; }
};

// The file and its checked weights, not yet on a backend. Errors: feature_missing (a backend this build
// lacks), backend_unavailable (a device this machine lacks, with those it has), those of gguf::File::open and
// model::load_weights.
Result<LoadedModel> open_model(const ModelOptions& options);

// Puts the model on its backend with room for `context` positions of `slots` sequences together. Errors:
// those of the backend's load().
Result<void> start_backend(LoadedModel& model, const ModelOptions& options, std::int32_t context,
                           std::int32_t slots = 1);

// The context to run with: `asked`, or the smaller of the model's own and `preferred`.
// Errors: usage when more is asked for than the model was made for.
Result<std::int32_t> choose_context(const model::Config& config, std::optional<std::int32_t> asked,
                                    std::int32_t preferred);

// Warns on stderr when the model cannot stay in memory.
void warn_if_larger_than_memory(const gguf::File& file);

// Warns on stderr of kernels that a self-test switched off.
void warn_of_switched_off(const model::DeviceInfo& device);

// "AMD EPYC, AVX2, 2 threads, fast numerics".
std::string describe_device(const model::DeviceInfo& device);
// Every field of DeviceInfo that is set.
nlohmann::ordered_json device_json(const model::DeviceInfo& device);

}  // namespace trine::cli
