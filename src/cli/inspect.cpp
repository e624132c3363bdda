#include "base/human.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/cost.h"
#include "cli/load.h"
#include "cli/metadata_text.h"
#include "cli/options.h"
#include "cli/sampling.h"
#include "cli/table.h"
#include "engine/file_sampling.h"
#include "engine/prompt.h"

#include <fmt/ranges.h>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

namespace trine::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t short_array = 8;
constexpr std::size_t short_string = 80;

struct InspectOptions {
  std::string path;
  bool full = false;
  bool json = false;
};

struct TypeSize {
  std::uint64_t tensors = 0;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

// All that is to be said of a file, before it is said as text or as JSON.
struct Inspection {
  const gguf::File& file;
  ModelCost cost;
  std::map<std::string, TypeSize> types;
  Result<void> runnable;  // the error says why not
  Result<void> chat;      // whether `run` can make a chat request
  std::vector<model::Assumed> assumed;
  engine::FileSampling sampling;
  std::vector<std::string> warnings;  // all that `run` says
};

// Whether the model can be run, with what is to be said of it beside.
Result<void> check_runnable(Inspection& inspection, const Result<text::Tokenizer>& tokenizer) {
  const auto keep = [&](std::span<const std::string> warnings) {
    inspection.warnings.insert(inspection.warnings.end(), warnings.begin(), warnings.end());
  };
  if (inspection.file.incomplete()) return fail(*inspection.file.incomplete());
  TRINE_TRY(const model::Weights weights, model::load_weights(inspection.file));
  inspection.assumed = weights.config.assumed;
  keep(weights.config.warnings);
  if (!tokenizer) return fail(tokenizer.error());
  keep(tokenizer->warnings());
  return {};
}

// Whether the template can be followed, by writing one message with it. The model need not be one that runs
// here.
Result<void> check_chat(const gguf::Metadata& metadata, const Result<text::Tokenizer>& tokenizer) {
  if (!engine::has_chat_template(metadata)) {
    return fail(ErrorCode::unsupported, "the file carries no chat template");
  }
  if (!tokenizer) return fail(tokenizer.error());
  const text::ChatMessage message = {"user", "Hello"};
  TRINE_CHECK_OK(engine::encode_chat(metadata, *tokenizer, {&message, 1}));
  return {};
}

Inspection examine(const gguf::File& file) {
  const auto tokenizer = text::Tokenizer::from_gguf(file.metadata());
  Inspection inspection{.file = file,
                        .cost = model_cost(file),
                        .types = {},
                        .runnable = {},
                        .chat = check_chat(file.metadata(), tokenizer),
                        .assumed = {},
                        .sampling = engine::read_file_sampling(file.metadata()),
                        .warnings = {}};
  inspection.runnable = check_runnable(inspection, tokenizer);
  inspection.warnings.insert(inspection.warnings.end(), inspection.sampling.warnings.begin(),
                             inspection.sampling.warnings.end());
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    TypeSize& size = inspection.types[std::string(gguf::info(tensor.type).name)];
    size.tensors += 1;
    size.elements += tensor.elements;
    size.bytes += tensor.bytes;
  }
  return inspection;
}

std::string string_of(const gguf::Metadata& metadata, std::string_view key) {
  const auto value = metadata.get_string(key);
  return value ? printable(*value, short_string) : "not stated";
}

std::string shape_text(const gguf::TensorInfo& tensor) {
  return fmt::format("{}", fmt::join(tensor.dims, " × "));
}

std::string memory_text(const ModelCost& cost) {
  std::string text = fmt::format("weights {}", human_bytes(cost.weight_bytes));
  if (!cost.kv_bytes_per_token) return text + "; KV cache unknown for this architecture";
  std::uint64_t bytes = 0;
  if (!__builtin_mul_overflow(*cost.kv_bytes_per_token, 1024, &bytes)) {
    text += fmt::format("; KV cache {} per 1,024 tokens", human_bytes(bytes));
  }
  if (cost.context_length &&
      !__builtin_mul_overflow(*cost.kv_bytes_per_token, *cost.context_length, &bytes)) {
    text += fmt::format(", {} at the full {} (16-bit)", human_bytes(bytes),
                        plural(*cost.context_length, "token"));
  }
  return text;
}

void print_identity(const Inspection& inspection) {
  const gguf::File& file = inspection.file;
  const auto line = [](std::string_view name, const std::string& text) {
    write_out(fmt::format("{:<14}{}\n", name, text));
  };
  for (const std::string& path : file.paths()) line("file", printable(path));
  line("format", fmt::format("GGUF version {}, alignment {}, {}", file.version(), file.alignment(),
                             human_bytes(file.total_bytes())));
  if (file.incomplete()) {
    line("parts",
         fmt::format("{} of {}; what follows is of these alone", file.paths().size(), file.part_count()));
  }
  line("name", string_of(file.metadata(), "general.name"));
  line("architecture", string_of(file.metadata(), "general.architecture"));
  if (!file.tensors().empty()) {
    line("parameters",
         fmt::format("{}, of which {} ({}) are read per token", human_count(inspection.cost.parameters),
                     human_count(inspection.cost.active_parameters),
                     human_bytes(inspection.cost.active_bytes)));
    line("memory", memory_text(inspection.cost));
  } else {
    line("tensors", "none: the file holds metadata only, such as a vocabulary");
  }
  line("runs here", inspection.runnable ? "yes" : "no: " + printable(to_string(inspection.runnable.error())));
  line("chat", inspection.chat ? "yes, by the file's own template"
                               : "no: " + printable(to_string(inspection.chat.error())));
  for (const model::Assumed& one : inspection.assumed)
    line("default", printable(fmt::format("{} = {}, from {}", one.key, one.value, one.from)));
  if (!inspection.sampling.used.empty())
    line("sampling", fmt::format("{}; the file states {}", engine::describe(inspection.sampling.params),
                                 fmt::join(inspection.sampling.used, ", ")));
  for (const std::string& warning : inspection.warnings) line("warning", printable(warning));
}

void print_types(const Inspection& inspection) {
  Table table({"type", ">tensors", ">parameters", ">bytes", ">share"});
  for (const auto& [name, size] : inspection.types) {
    const double share =
        inspection.cost.weight_bytes == 0
            ? 0
            : 100 * static_cast<double>(size.bytes) / static_cast<double>(inspection.cost.weight_bytes);
    table.add({name, fmt::format("{}", size.tensors), human_count(size.elements), human_bytes(size.bytes),
               fmt::format("{:.1f} %", share)});
  }
  write_out("\n" + table.text());
}

void print_metadata(const gguf::Metadata& metadata, bool full) {
  Table table({"key", "type", "value"});
  for (const auto& [key, value] : metadata.entries()) {
    table.add({printable(key), type_text(value),
               value_text(value, full ? 0 : short_array, full ? 0 : short_string)});
  }
  write_out("\n" + table.text());
}

// "blk.12.attn_q.weight" is one of many: "blk.*.attn_q.weight".
std::string without_layer(const std::string& name) {
  if (!name.starts_with("blk.")) return name;
  const std::size_t dot = name.find_first_not_of("0123456789", 4);
  return dot == std::string::npos || dot == 4 ? name : "blk.*" + name.substr(dot);
}

void print_tensors(std::span<const gguf::TensorInfo> tensors) {
  Table table({"tensor", "type", "shape, innermost first", ">bytes"});
  for (const gguf::TensorInfo& tensor : tensors) {
    table.add({printable(tensor.name), std::string(gguf::info(tensor.type).name), shape_text(tensor),
               human_bytes(tensor.bytes)});
  }
  write_out("\n" + table.text());
}

// One line for tensors that differ only in their layer.
void print_tensor_groups(std::span<const gguf::TensorInfo> tensors) {
  struct Group {
    std::string name;
    std::string shape;
    std::vector<std::pair<std::string, std::uint64_t>> types;  // and how many tensors have it
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
  };
  std::vector<Group> groups;
  std::map<std::pair<std::string, std::string>, std::size_t> index;
  for (const gguf::TensorInfo& tensor : tensors) {
    const std::string name = without_layer(tensor.name);
    const auto [place, is_new] = index.try_emplace({name, shape_text(tensor)}, groups.size());
    if (is_new) groups.push_back({name, shape_text(tensor), {}, 0, 0});
    Group& group = groups[place->second];
    const std::string type(gguf::info(tensor.type).name);
    auto entry =
        std::find_if(group.types.begin(), group.types.end(), [&](const auto& t) { return t.first == type; });
    if (entry == group.types.end()) entry = group.types.insert(entry, {type, 0});
    entry->second += 1;
    group.count += 1;
    group.bytes += tensor.bytes;
  }
  Table table({"tensor", ">count", "type", "shape, innermost first", ">bytes"});
  for (const Group& group : groups) {
    std::string types = group.types.front().first;
    if (group.types.size() > 1) {
      types.clear();
      for (const auto& [type, count] : group.types)
        types += fmt::format("{}{} ×{}", types.empty() ? "" : ", ", type, count);
    }
    table.add({printable(group.name), fmt::format("{}", group.count), types, group.shape,
               human_bytes(group.bytes)});
  }
  write_out("\n" + table.text());
}

ordered_json error_json(const Error& error) {
  ordered_json out = {{"exit_code", static_cast<int>(error.code)}, {"what", error.what}};
  if (!error.where.empty()) out["where"] = error.where;
  if (!error.expected.empty()) out["expected"] = error.expected;
  if (!error.actual.empty()) out["actual"] = error.actual;
  if (!error.hint.empty()) out["hint"] = error.hint;
  return out;
}

ordered_json cost_json(const ModelCost& cost) {
  ordered_json out = {{"parameters", cost.parameters},
                      {"active_parameters", cost.active_parameters},
                      {"weight_bytes", cost.weight_bytes},
                      {"active_bytes", cost.active_bytes}};
  out["kv_bytes_per_token"] =
      cost.kv_bytes_per_token ? ordered_json(*cost.kv_bytes_per_token) : ordered_json();
  out["context_length"] = cost.context_length ? ordered_json(*cost.context_length) : ordered_json();
  return out;
}

std::string to_json(const Inspection& inspection, bool full) {
  const gguf::File& file = inspection.file;
  ordered_json metadata = ordered_json::object();
  for (const auto& [key, value] : file.metadata().entries())
    metadata[key] = value_json(value, full ? 0 : short_array);
  ordered_json types = ordered_json::object();
  for (const auto& [name, size] : inspection.types) {
    types[name] = {{"tensors", size.tensors}, {"parameters", size.elements}, {"bytes", size.bytes}};
  }
  ordered_json tensors = ordered_json::array();
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    tensors.push_back({{"name", tensor.name},
                       {"type", gguf::info(tensor.type).name},
                       {"dims", tensor.dims},
                       {"elements", tensor.elements},
                       {"bytes", tensor.bytes},
                       {"offset", tensor.offset},
                       {"part", tensor.part}});
  }
  ordered_json out = {{"files", file.paths()},
                      {"parts", file.part_count()},
                      {"bytes", file.total_bytes()},
                      {"gguf_version", file.version()},
                      {"alignment", file.alignment()},
                      {"cost", cost_json(inspection.cost)},
                      {"runnable", inspection.runnable.has_value()}};
  if (!inspection.runnable) out["not_runnable_because"] = error_json(inspection.runnable.error());
  out["chat"] = inspection.chat.has_value();
  if (!inspection.chat) out["no_chat_because"] = error_json(inspection.chat.error());
  ordered_json defaults = ordered_json::object();
  for (const model::Assumed& one : inspection.assumed)
    defaults[one.key] = {{"value", one.value}, {"from", one.from}};
  out["defaults"] = std::move(defaults);
  ordered_json sampling = sampling_json(inspection.sampling.params);
  sampling["stated"] = inspection.sampling.used;
  out["sampling"] = std::move(sampling);
  out["warnings"] = inspection.warnings;
  out["types"] = std::move(types);
  out["metadata"] = std::move(metadata);
  out["tensors"] = std::move(tensors);
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Result<int> inspect(const InspectOptions& options) {
  TRINE_TRY(const ModelPath model, find_model(options.path));
  if (model.is_demo) note(fmt::format("no file given: inspecting the demo model, {}", model.path));
  TRINE_TRY(const gguf::File file, gguf::File::open(model.path, gguf::Parts::present));
  const Inspection inspection = examine(file);
  if (options.json) {
    write_json(to_json(inspection, options.full));
    return 0;
  }
  print_identity(inspection);
  if (!file.tensors().empty()) print_types(inspection);
  print_metadata(file.metadata(), options.full);
  if (file.tensors().empty()) return 0;
  if (options.full) {
    print_tensors(file.tensors());
  } else {
    print_tensor_groups(file.tensors());
  }
  return 0;
}

}  // namespace

Action define_inspect(CLI::App& app) {
  const auto options = std::make_shared<InspectOptions>();
  describe(
      app,
      "Shows what a GGUF file holds: identity, sizes, metadata, tensors, and whether Trine can run it and "
      "why not.\n"
      "Reads the header only. Any GGUF will do; the exit status is 0 also for a model that cannot be run "
      "here.");
  add_text(app, "FILE", options->path, "GGUF file, or any part of a split one; none: the demo model");
  add_text(app, "-m,--model", options->path, "the same, as other commands take it")
      .type_name("FILE")
      .excludes("FILE");
  add_flag(app, "--full", options->full,
           "whole arrays and strings, every tensor; default: long values cut, layers folded into one line");
  add_flag(app, "--json", options->json, "print one JSON object; arrays are cut unless --full");
  set_footer(app,
             "Examples:\n"
             "  trine inspect model.gguf\n"
             "  trine inspect model.gguf --json | jq .cost");
  return [options] { return inspect(*options); };
}

}  // namespace trine::cli
