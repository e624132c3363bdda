#include "base/human.h"
#include "base/sha256.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "cli/trace_report.h"
#include "contract/gate/model_stamp.h"
#include "contract/gate/reference_device.h"
#include "contract/trace/diff.h"
#include "contract/trace/writer.h"
#include "text/tokenizer.h"
#include "trine_version.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

namespace trine::cli {
namespace {

using model::Stage;

constexpr std::int32_t default_tokens[] = {785, 9217, 308};
constexpr std::int64_t most_layers = 100000;

struct TraceOptions {
  ModelOptions model;
  std::string output;
  std::string prompt;
  std::string file;
  std::vector<std::int32_t> tokens;
  contract::TraceSelection selection;
  std::vector<std::string> diff;
  contract::TraceTolerance tolerance;
  bool json = false;
  std::vector<OptionRef> of_recording;  // mean nothing to a comparison
  std::vector<OptionRef> of_diff;       // mean nothing to a recording
};

// ---- What to trace ----

std::vector<Stage> parse_stages(const std::string& text) {
  std::vector<Stage> stages;
  if (text == "all") return stages;
  for (const std::string& name : detail::split_list(text)) {
    Stage stage{};
    if (!model::parse_stage(name, stage)) {
      std::vector<std::string_view> names;
      for (int i = 0; i < model::stage_count; ++i) names.push_back(model::name_of(static_cast<Stage>(i)));
      refuse_value("--stages", name, fmt::format("'all' or some of {}", fmt::join(names, ", ")));
    }
    stages.push_back(stage);
  }
  return stages;
}

std::vector<int> parse_layers(const std::string& text) {
  std::vector<int> layers;
  if (text == "all") return layers;
  for (const std::string& part : detail::split_list(text)) {
    const std::size_t dash = std::min(part.find('-'), part.size());
    const auto first = parse_int(part.substr(0, dash));
    const auto last = dash == part.size() ? first : parse_int(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last > most_layers)
      refuse_value("--layers", text, "'all', or layers and rising ranges of them such as 0,3-5");
    for (auto layer = *first; layer <= *last; ++layer) layers.push_back(static_cast<int>(layer));
  }
  return layers;
}

Result<void> check_layers(const TraceOptions& options, const model::Config& config) {
  for (const int layer : options.selection.layers) {
    if (layer < config.n_layers) continue;
    return fail({.code = ErrorCode::usage,
                 .what = "the model has fewer layers",
                 .where = "--layers",
                 .expected = fmt::format("0 to {}", config.n_layers - 1),
                 .actual = fmt::format("{}", layer)});
  }
  return {};
}

// ---- The prompt ----

Result<std::vector<std::int32_t>> given_tokens(const TraceOptions& options, const LoadedModel& model) {
  if (!options.tokens.empty()) return options.tokens;
  if (options.prompt.empty() && options.file.empty()) {
    std::vector<std::int32_t> tokens;
    const std::int32_t vocab = model.config().vocab_size;
    for (const std::int32_t id : default_tokens) tokens.push_back(id % vocab);
    const bool fits = std::equal(tokens.begin(), tokens.end(), std::begin(default_tokens));
    note(fmt::format("no prompt given: tracing the token ids {}{}", fmt::join(tokens, ","),
                     fits ? ""
                          : fmt::format(" ({}, each modulo the vocabulary of {})",
                                        fmt::join(default_tokens, ","), vocab)));
    return tokens;
  }
  std::string text = options.prompt;
  if (!options.file.empty()) {
    TRINE_TRY(text, read_input(options.file, most_prompt_bytes, Holds::text));
  }
  TRINE_TRY(const text::Tokenizer tokenizer, text::Tokenizer::from_gguf(model.file->metadata()));
  return tokenizer.encode(text, true);
}

Result<std::vector<std::int32_t>> read_tokens(const TraceOptions& options, const LoadedModel& model) {
  TRINE_TRY(std::vector<std::int32_t> tokens, given_tokens(options, model));
  const model::Config& config = model.config();
  if (tokens.empty())
    return fail({.code = ErrorCode::usage, .what = "the prompt is empty", .where = options.file});
  if (tokens.size() > static_cast<std::size_t>(config.context_length))
    return fail({.code = ErrorCode::usage,
                 .what = "the prompt is longer than the model's context",
                 .expected = fmt::format("at most {} tokens", config.context_length),
                 .actual = fmt::format("{}", tokens.size())});
  for (const std::int32_t id : tokens) {
    if (id < config.vocab_size) continue;
    return fail({.code = ErrorCode::validation_failed,
                 .what = "a token is outside the vocabulary",
                 .expected = fmt::format("0 to {}", config.vocab_size - 1),
                 .actual = fmt::format("{}", id)});
  }
  return tokens;
}

// ---- The model and the file ----

Result<LoadedModel> open_source(const TraceOptions& options) {
  if (options.model.backend != "reference") return open_model(options.model);
  if (!options.model.load.device.empty())
    return fail({.code = ErrorCode::usage,
                 .what = "the reference has no devices to choose from",
                 .where = "--device"});
  if (options.model.numerics == "fast")
    return fail({.code = ErrorCode::usage,
                 .what = "the reference has exact numerics only",
                 .where = "--numerics",
                 .expected = "exact",
                 .actual = "fast"});
  if (!options.model.kv.empty())
    return fail({.code = ErrorCode::usage,
                 .what = "the reference has no KV cache to choose a type for",
                 .where = "--kv",
                 .actual = options.model.kv});
  if (!options.model.load.without.empty())
    return fail(
        {.code = ErrorCode::usage, .what = "the reference has nothing to leave out", .where = "--without"});
  if (options.model.skip_self_test)
    return fail({.code = ErrorCode::usage,
                 .what = "the reference has no self-test to skip",
                 .where = "--no-self-test"});
  return open_model(options.model, {nullptr, "as asked"}, engine::Read::weights);
}

Result<void> start(LoadedModel& model, const TraceOptions& options, std::int32_t context) {
  if (options.model.backend != "reference") return start_backend(model, options.model, context);
  model.device =
      std::make_unique<contract::ReferenceDevice>(*model.weights, context, 1, options.model.load.threads);
  return {};
}

OutputFile output_of(const TraceOptions& options) {
  return {options.output, "--output", "trace",
          [](const std::string& path) { return contract::TraceFile::open(path).has_value(); }};
}

// Before the work.
Result<void> check_output(const TraceOptions& options, const LoadedModel& model) {
  const OutputFile output = output_of(options);
  std::vector<std::string> inputs(model.file->paths().begin(), model.file->paths().end());
  if (!options.file.empty()) inputs.push_back(options.file);
  return check_outputs(std::span(&output, 1), inputs);
}

Result<std::string> hash_model(const gguf::File& file) {
  Progress progress("hashing", file.total_bytes());
  return contract::sha256_of_model(file, [&](std::uint64_t bytes) { progress.add(bytes); });
}

// ---- Recording ----

std::string recording_json(const TraceOptions& options, const LoadedModel& model,
                           const contract::TraceInfo& info, std::span<const contract::TraceSlot> slots,
                           std::uint64_t bytes) {
  using Json = nlohmann::ordered_json;
  const Json out = {{"file", options.output},
                    {"bytes", bytes},
                    {"model",
                     {{"path", model.source.path},
                      {"name", info.model_name},
                      {"sha256", info.model_sha256},
                      {"demo", model.source.is_demo}}},
                    {"tokens", info.tokens},
                    {"device", device_json(info.device)},
                    {"backend_choice", model.choice.reason},
                    {"stages", Json::parse(slots_json(slots))}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<int> record(const TraceOptions& options) {
  if (options.output.empty())
    return fail({.code = ErrorCode::usage, .what = "no file to write the trace to", .expected = "-o FILE"});
  TRINE_TRY(LoadedModel model, open_source(options));
  introduce_demo(model.source);
  contract::TraceInfo info;
  TRINE_TRY(info.tokens, read_tokens(options, model));
  TRINE_CHECK_OK(check_layers(options, model.config()));
  TRINE_CHECK_OK(check_output(options, model));
  warn_if_larger_than_memory(*model.file);
  TRINE_TRY(const contract::ModelStamp stamp, contract::ModelStamp::of(*model.file));
  TRINE_TRY(info.model_sha256, hash_model(*model.file));
  TRINE_CHECK_OK(start(model, options, static_cast<std::int32_t>(info.tokens.size())));
  info.model_name = model.config().name;
  info.device = model.device->describe();
  info.program = fmt::format("trine {} ({})", TRINE_VERSION, TRINE_COMMIT);

  const std::vector<contract::TraceSlot> slots =
      contract::trace_slots(model.config(), options.selection, static_cast<std::int64_t>(info.tokens.size()));
  std::uint64_t data_bytes = 0;
  for (const contract::TraceSlot& slot : slots) data_bytes += slot.bytes();
  const std::atomic<bool>& interrupted = watch_interrupt();
  Progress progress("tracing", data_bytes);
  TRINE_TRY(const auto writer,
            contract::TraceWriter::create(options.output, info, slots, [&](std::uint64_t bytes) {
              progress.add(bytes);
              return !interrupted;
            }));
  const bool with_logits = options.selection.has(Stage::logits, -1);
  TRINE_TRY([[maybe_unused]] const std::vector<float> logits,
            contract::run_traced(*model.device, info.tokens, with_logits, writer.get()));
  progress.finish();
  if (interrupted) {
    note("interrupted; no file was left behind");
    return interrupted_status();
  }
  TRINE_CHECK_OK(stamp.check_unchanged());
  TRINE_CHECK_OK(writer->finish([&] { return check_replaced(output_of(options)); }));
  if (options.json) {
    write_json(recording_json(options, model, info, slots, writer->total_bytes()));
    return 0;
  }
  write_out(slots_table(slots));
  write_out(fmt::format("\n{}: {}, {}\n", printable(options.output), human_bytes(writer->total_bytes()),
                        plural(slots.size(), "tensor")));
  write_err(fmt::format("device  {} ({})\n", printable(describe_device(info.device)),
                        printable(model.choice.reason)));
  return 0;
}

// ---- Comparing ----

Result<int> compare(const TraceOptions& options) {
  if (options.diff.size() != 2)
    return fail({.code = ErrorCode::usage,
                 .what = "--diff compares two traces",
                 .where = "--diff",
                 .expected = "--diff A B",
                 .actual = plural(options.diff.size(), "file")});
  TRINE_TRY(const contract::TraceFile a, contract::TraceFile::open(options.diff[0]));
  TRINE_TRY(const contract::TraceFile b, contract::TraceFile::open(options.diff[1]));
  TRINE_TRY(const contract::TraceDiff diff, contract::diff_traces(a, b, options.tolerance));
  std::error_code problem;
  const bool same_file = std::filesystem::equivalent(options.diff[0], options.diff[1], problem);
  const TraceComparison comparison{a, b, options.tolerance, diff, same_file};
  if (options.json) {
    write_json(comparison_json(comparison));
  } else {
    write_out(comparison_text(comparison));
  }
  return diff.holds() ? 0 : static_cast<int>(ErrorCode::validation_failed);
}

Result<int> trace(const TraceOptions& options) {
  const bool is_diff = !options.diff.empty();
  for (const OptionRef& option : is_diff ? options.of_recording : options.of_diff) {
    if (!option.given()) continue;
    return fail(
        {.code = ErrorCode::usage,
         .what = fmt::format("{} {}", option.name(),
                             is_diff ? "means nothing to --diff, which runs no model" : "belongs to --diff"),
         .hint = "'trine trace --help' shows both uses"});
  }
  return is_diff ? compare(options) : record(options);
}

void add_recording(CLI::App& app, TraceOptions& options) {
  const auto add = [&](OptionRef option) {
    options.of_recording.push_back(option);
    return option;
  };
  add(add_text(app, "MODEL", options.model.path, "GGUF file; default: the demo model"));
  add(add_text(app, "-m,--model", options.model.path, "the same, as other commands take it"))
      .type_name("FILE")
      .excludes("MODEL");
  add(add_text(app, "-o,--output", options.output, "file to write; a trace of this name is replaced"))
      .type_name("FILE");
  add(add_parsed(
          app, "--stages", [&](const std::string& text) { options.selection.stages = parse_stages(text); },
          "stages to keep, separated by commas: embed, attn_norm, qkv, qk_norm_rope, attention, attn_out, "
          "ffn_norm, router_logits, expert_ids, expert_weights, expert_act, moe_out, layer_out, final_norm, "
          "logits; default: all"))
      .type_name("NAME,NAME...");
  add(add_parsed(
          app, "--layers", [&](const std::string& text) { options.selection.layers = parse_layers(text); },
          "layers to keep, from 0; embed, final_norm and logits belong to none; default: all"))
      .type_name("N,N-N...");

  const std::size_t prompt = option_count(app);
  add(add_text(app, "--prompt", options.prompt,
               "text as it is, without a chat template; special tokens spelt in it are read"))
      .type_name("TEXT");
  add(add_text(app, "-f,--file", options.file, "the same, from a file"))
      .type_name("FILE")
      .only_once()
      .excludes("--prompt");
  add(add_list(app, "--tokens", options.tokens, std::int32_t{0}, std::numeric_limits<std::int32_t>::max(),
               "token ids; default without a prompt: 785,9217,308"))
      .excludes("--prompt")
      .excludes("--file");
  group_since(app, prompt, "Prompt");

  const std::size_t device = option_count(app);
  options.model.numerics = "exact";
  add(add_choice(app, "--backend", options.model.backend, {"auto", "cpu", "cuda", "wgpu", "reference"},
                 "what computes; reference is the model's definition, and slow; auto says what it chose; "
                 "default: auto"));
  add(add_device(app, options.model.load.device));
  add(add_choice(app, "--numerics", options.model.numerics, {"exact", "fast"},
                 "fast: activations as 8-bit blocks; exact: as 32-bit floats; default: exact"));
  add(add_kv(app, options.model));
  add(add_threads(app, options.model.load.threads, "threads; they change no number"));
  add(add_without(app, options.model.load.without));
  add(add_no_self_test(app, options.model));
  group_since(app, device, "Device");
}

void add_diff(CLI::App& app, TraceOptions& options) {
  const std::size_t first = option_count(app);
  add_text(app, "--diff", options.diff, "compare trace A with trace B, which is taken as right")
      .type_name("A B");
  options.of_diff = {
      add_number(app, "--cosine", options.tolerance.cosine, 0.0, 1.0,
                 fmt::format("least cosine of a row; default: {}", options.tolerance.cosine)),
      add_number(app, "--relative-l2", options.tolerance.relative_l2, 0.0, std::numeric_limits<double>::max(),
                 fmt::format("largest |A - B| / |B| of a row; default: {}", options.tolerance.relative_l2))};
  group_since(app, first, "Comparison");
}

}  // namespace

Action define_trace(CLI::App& app) {
  const auto options = std::make_shared<TraceOptions>();
  describe(
      app,
      "Writes the intermediate results of one forward pass to a file: any stage of any layer, from any "
      "backend. Or compares two such files and names the first stage that leaves the tolerance.\n"
      "A trace is a safetensors file: Python reads it in one line (docs/trace-format.md).\n"
      "--diff exits with 0 within the tolerance, with 5 outside it or when the files cannot be compared.");
  add_recording(app, *options);
  add_diff(app, *options);
  add_flag(app, "--json", options->json, "print one JSON object").group("Output");
  set_footer(
      app,
      "Examples:\n"
      "  trine trace -o cpu.trace --prompt \"def add(a, b):\"\n"
      "  trine trace -o ref.trace --prompt \"def add(a, b):\" --backend reference\n"
      "  trine trace --diff cpu.trace ref.trace           where do they part?\n"
      "  trine trace model.gguf -o moe.trace --stages router_logits,expert_ids,moe_out --layers 0,3-5\n"
      "  trine trace --diff a.trace b.trace --json | jq .first_outside");
  return [options] { return trace(*options); };
}

}  // namespace trine::cli
