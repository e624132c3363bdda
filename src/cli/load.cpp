#include "cli/load.h"

#include "backend/registry.h"
#include "base/human.h"
#include "base/system.h"
#include "cli/console.h"
#include "cli/options.h"

#include <fmt/ranges.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

namespace trine::cli {
namespace {

constexpr const char* demo_model = "demo-coder-Q4_K_M.gguf";

std::vector<std::filesystem::path> demo_model_places() {
  std::vector<std::filesystem::path> places;
  if (const char* directory = std::getenv("TRINE_MODELS"); directory != nullptr && *directory != '\0') {
    places.emplace_back(directory);
  }
  std::error_code problem;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", problem);
  if (problem) return places;
  places.push_back(executable.parent_path().parent_path() / "share" / "trine" / "models");
  for (std::filesystem::path up = executable.parent_path();; up = up.parent_path()) {
    places.push_back(up / "models");
    if (up == up.parent_path()) return places;
  }
}

void warn_of_switched_off(const model::DeviceInfo& device) {
  if (device.switched_off.empty()) return;
  warn(fmt::format("{} gives wrong numbers with {}: switched off, and the plain kernels run instead",
                   device.name, fmt::join(device.switched_off, ", ")));
}

}  // namespace

OptionRef add_model_path(CLI::App& app, std::string& path) {
  return add_text(app, "-m,--model", path, "GGUF file; default: the demo model").type_name("FILE");
}

OptionRef add_device(CLI::App& app, std::string& device) {
  return add_text(
             app, "--device", device,
             "device of the backend; for cpu an instruction set, as trine devices lists them; for wgpu an "
             "adapter's index or part of its name; default: TRINE_CPU for cpu, else the best one here")
      .type_name("NAME");
}

OptionRef add_model_options(CLI::App& app, ModelOptions& options) {
  const OptionRef model = add_model_path(app, options.path);
  add_choice(app, "--backend", options.backend, {"auto", "cpu", "cuda", "wgpu"},
             "what computes; auto says what it chose; default: auto");
  add_device(app, options.load.device);
  add_choice(app, "--numerics", options.numerics, {"exact", "fast"},
             "fast: activations as 8-bit blocks; exact: as 32-bit floats, slower; default: fast");
  add_kv(app, options);
  add_threads(app, options.load.threads, "threads");
  add_flag(app, "--pin", options.load.pin,
           "cpu: each thread stays on a hardware thread of its own, of performance cores first");
  add_numa(app, options.load.numa);
  add_without(app, options.load.without);
  add_no_self_test(app, options);
  return model;
}

OptionRef add_numa(CLI::App& app, std::optional<bool>& spread) {
  const auto set = [&spread](const std::string& text) {
    if (text != "auto" && text != "off") refuse_value("--numa", text, "one of auto, off");
    spread = text == "auto";
  };
  return add_parsed(
             app, "--numa", set,
             "cpu: auto takes memory from all NUMA nodes in turn where there are several; default: auto")
      .type_name("auto|off");
}

OptionRef add_without(CLI::App& app, std::vector<std::string>& without) {
  return add_words(app, "--without", without,
                   "wgpu: what to leave out where a driver gets it wrong, as trine devices names it: "
                   "subgroups, f16, timestamps, integer-dot; default: nothing, and TRINE_WGPU_WITHOUT");
}

OptionRef add_kv(CLI::App& app, ModelOptions& options) {
  return add_choice(
      app, "--kv", options.kv, {"f32", "f16", "bf16", "q8_0"},
      "what keys and values are kept as; exact numerics have f32 alone, wgpu f32 and f16; default: f16 in "
      "fast numerics where the weights prove that it fits, else f32");
}

OptionRef add_no_self_test(CLI::App& app, ModelOptions& options) {
  return add_flag(app, "--no-self-test", options.skip_self_test,
                  "wgpu: use every kernel without judging it at load");
}

Result<ModelPath> find_model(const std::string& path) {
  if (!path.empty()) return ModelPath{path, false};
  std::vector<std::string> looked;
  for (const std::filesystem::path& place : demo_model_places()) {
    const std::filesystem::path candidate = place / demo_model;
    std::error_code problem;
    if (std::filesystem::is_regular_file(candidate, problem)) return ModelPath{candidate.string(), true};
    looked.push_back(place.string());
  }
  return fail({.code = ErrorCode::file_not_found,
               .what = "no model given and the demo model was not found",
               .where = fmt::format("{}", fmt::join(looked, ", ")),
               .expected = demo_model,
               .hint = "Name a model with -m FILE, or set TRINE_MODELS to the demo model's directory"});
}

Result<void> require_model_file(const std::string& path) {
  if (path.empty() || ::access(path.c_str(), F_OK) == 0) return {};
  TRINE_TRY([[maybe_unused]] const gguf::File file, gguf::File::open(path));
  return {};
}

void introduce_demo(const ModelPath& model) {
  if (model.is_demo) note(fmt::format("no model given (-m): using the demo model, {}", model.path));
}

model::LoadOptions ModelOptions::load_options() const {
  model::LoadOptions options = load;
  options.numerics = numerics == "exact" ? model::Numerics::exact : model::Numerics::fast;
  options.kv_type = model::parse_kv_type(kv);
  options.self_test = !skip_self_test;
  return options;
}

Result<LoadedModel> open_model(const ModelOptions& options, engine::Read read) {
  backend::install_abort_handlers();
  TRINE_TRY(backend::Choice choice, engine::choose_backend(options.backend, options.load));
  if (options.skip_self_test && !choice.entry->is_gpu)
    return fail({.code = ErrorCode::usage,
                 .what = fmt::format("the {} backend has no self-test to leave out", choice.entry->name),
                 .where = "--no-self-test"});
  return open_model(options, std::move(choice), read);
}

Result<LoadedModel> open_model(const ModelOptions& options, backend::Choice choice, engine::Read read) {
  TRINE_TRY(ModelPath source, find_model(options.path));
  TRINE_TRY(engine::LoadedModel model, engine::open_model(source.path, std::move(choice), read));
  warn_of_file(model.config().warnings);
  if (model.tokenizer) warn_of_file(model.tokenizer->warnings());
  return LoadedModel{std::move(model), std::move(source)};
}

void warn_of_file(std::span<const std::string> warnings) {
  for (const std::string& warning : warnings) warn(warning);
}

Result<void> start_backend(LoadedModel& model, const ModelOptions& options, std::int32_t context,
                           std::int32_t slots) {
  model::LoadOptions wanted = options.load_options();
  wanted.context = context;
  wanted.slots = slots;
  TRINE_CHECK_OK(engine::start_model(model, wanted));
  warn_of_switched_off(model.device->describe());
  return {};
}

void warn_if_larger_than_memory(const gguf::File& file) {
  const std::uint64_t memory = total_memory();
  if (memory == 0 || file.total_bytes() <= memory) return;
  warn(fmt::format(
      "the model's {} do not fit into {} of memory: weights will be read from disk again and again",
      human_bytes(file.total_bytes()), human_bytes(memory)));
}

std::string describe_device(const model::DeviceInfo& device) {
  std::string text = device.name;
  if (!device.api.empty()) text += ", " + device.api;
  if (device.type == "software") text += ", software adapter";
  if (device.threads > 0) text += ", " + plural(static_cast<std::uint64_t>(device.threads), "thread");
  if (device.pinned) text += ", pinned";
  if (device.memory_nodes > 0) text += fmt::format(", memory on {} nodes", device.memory_nodes);
  text += device.numerics == model::Numerics::exact ? ", exact numerics" : ", fast numerics";
  if (device.kv_type) text += fmt::format(", {} KV cache", name_of(*device.kv_type));
  if (!device.left_out.empty()) text += fmt::format(", without {}", fmt::join(device.left_out, ", "));
  return text;
}

nlohmann::ordered_json device_json(const model::DeviceInfo& device) {
  nlohmann::ordered_json out = {{"backend", device.backend},
                                {"name", device.name},
                                {"type", device.type},
                                {"api", device.api},
                                {"numerics", device.numerics == model::Numerics::exact ? "exact" : "fast"}};
  if (device.kv_type) out["kv_type"] = name_of(*device.kv_type);
  if (!device.driver.empty()) out["driver"] = device.driver;
  if (device.threads > 0) out["threads"] = device.threads;
  if (device.pinned) out["pinned"] = true;
  if (device.memory_nodes > 0) out["memory_nodes"] = device.memory_nodes;
  if (!device.left_out.empty()) out["left_out"] = device.left_out;
  if (!device.switched_off.empty()) out["switched_off"] = device.switched_off;
  return out;
}

}  // namespace trine::cli
