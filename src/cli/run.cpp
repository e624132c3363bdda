#include "cli/command.h"
#include "cli/console.h"
#include "cli/in_flags.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "cli/sampling.h"
#include "engine/file_sampling.h"
#include "engine/generate.h"
#include "engine/prompt.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

namespace trine::cli {
namespace {

constexpr std::int32_t default_context = 4096;

struct RunOptions {
  ModelOptions model;
  SamplingOptions sampling;
  TextSource prompt;
  std::optional<std::string> system;
  bool raw = false;
  std::optional<std::int32_t> max_tokens;
  std::optional<std::int32_t> context;
  std::vector<std::string> stop;
  bool json = false;
  bool quiet = false;
  bool verbose = false;
};

// What one generation was made with, for the statistics.
struct Session {
  const LoadedModel& model;
  std::size_t prompt_tokens = 0;
  std::int32_t context = 0;
  const sampling::SamplingParams& sampling;
};

Result<void> check_options(const RunOptions& options) {
  if (options.raw && options.system) {
    return fail({.code = ErrorCode::usage,
                 .what = "--system has no place in --raw text",
                 .hint = "Put it into the prompt itself"});
  }
  for (const std::string& stop : options.stop) {
    if (stop.empty())
      return fail(
          {.code = ErrorCode::usage, .what = "--stop is empty", .expected = "at least one character"});
  }
  return {};
}

Result<std::vector<text::TokenId>> tokens_of(const RunOptions& options, const LoadedModel& model,
                                             PromptParts source, std::int32_t context) {
  const gguf::Metadata& metadata = model.file->metadata();
  const bool is_chat = !options.raw && engine::has_chat_template(metadata);
  const engine::Prompt prompt{is_chat ? as_message(std::move(source)) : as_raw_text(std::move(source)),
                              options.system, options.raw};
  TRINE_CHECK_OK(
      engine::require_may_fit(prompt.text.size(), *model.tokenizer, context, model.config().context_length)
          .map_error(in_flags));
  return engine::encode_prompt(metadata, *model.tokenizer, prompt).map_error(in_flags);
}

double prompt_rate(const Session& session, const engine::GenerateResult& result) {
  return result.first_token_seconds > 0
             ? static_cast<double>(session.prompt_tokens) / result.first_token_seconds
             : 0;
}

// Decode steps per second: every token after the first, the end token (which is not among `tokens`) included.
// Nothing where there was only the first.
std::optional<double> decode_rate(const engine::GenerateResult& result) {
  const std::size_t chosen =
      result.tokens.size() + (result.finish == engine::FinishReason::end_of_generation ? 1 : 0);
  if (chosen < 2 || result.decode_seconds <= 0) return std::nullopt;
  return static_cast<double>(chosen - 1) / result.decode_seconds;
}

void print_statistics(const Session& session, const engine::GenerateResult& result) {
  write_err(fmt::format("prompt  {}, {:.1f} tok/s; first token after {:.3f} s\n",
                        plural(session.prompt_tokens, "token"), prompt_rate(session, result),
                        result.first_token_seconds));
  const std::optional<double> rate = decode_rate(result);
  write_err(fmt::format("output  {}{}; ended by {}; seed {}\n", plural(result.tokens.size(), "token"),
                        rate ? fmt::format(", {:.1f} tok/s", *rate) : "", engine::name_of(result.finish),
                        session.sampling.seed));
  write_err(fmt::format("device  {} ({})\n", printable(describe_device(session.model.device->describe())),
                        printable(session.model.choice.reason)));
}

std::string to_json(const Session& session, const engine::GenerateResult& result) {
  const std::optional<double> rate = decode_rate(result);
  const model::DeviceInfo device = session.model.device->describe();
  const model::Config& config = session.model.config();
  const nlohmann::ordered_json out = {
      {"text", result.text},
      {"tokens", result.tokens},
      {"finish_reason", engine::name_of(result.finish)},
      {"prompt_tokens", session.prompt_tokens},
      {"timings",
       {{"prefill_seconds", result.first_token_seconds},
        {"first_token_seconds", result.first_token_seconds},
        {"decode_seconds", result.decode_seconds},
        {"prefill_tokens_per_second", prompt_rate(session, result)},
        {"decode_tokens_per_second", rate ? nlohmann::ordered_json(*rate) : nlohmann::ordered_json()}}},
      {"device", device_json(device)},
      {"backend_choice", session.model.choice.reason},
      {"model",
       {{"path", session.model.source.path},
        {"demo", session.model.source.is_demo},
        {"name", config.name},
        {"architecture", config.architecture}}},
      {"context", session.context},
      {"sampling", sampling_json(session.sampling)},
      {"seed", session.sampling.seed}};
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void introduce(const RunOptions& options, const LoadedModel& model, const engine::GenerateRequest& request,
               const std::vector<std::string>& from_file, std::int32_t context) {
  if (options.quiet) return;
  introduce_demo(model.source);
  if (!options.verbose) return;
  const model::Config& config = model.config();
  note(fmt::format("{} ({}), {} layers, hidden size {}, {} of {} experts per token", model.source.path,
                   config.architecture, config.n_layers, config.hidden_size, config.experts_per_token,
                   config.n_experts));
  note(fmt::format("context {} of {} tokens, prompt {}; {}", context, config.context_length,
                   request.prompt.size(), describe_device(model.device->describe())));
  note(fmt::format(
      "tokens are chosen by {}{}", engine::describe(request.sampling),
      from_file.empty() ? "" : fmt::format("; the file's defaults: {}", fmt::join(from_file, ", "))));
}

// Line by line, each behind a bar, so that white space and a newline at the end are seen.
void show_prompt(const std::string& text) {
  note("the prompt as the model gets it:");
  const std::string shown = printable_lines(text);
  for (std::size_t begin = 0; begin <= shown.size();) {
    const std::size_t end = std::min(shown.find('\n', begin), shown.size());
    write_err(fmt::format("  | {}\n", std::string_view(shown).substr(begin, end - begin)));
    begin = end + 1;
  }
}

Result<int> run(const RunOptions& options) {
  TRINE_CHECK_OK(check_options(options));
  TRINE_CHECK_OK(require_model_file(options.model.path));
  TRINE_TRY(PromptParts prompt, read_prompt(options.prompt, options.raw));
  if (!prompt.note.empty() && !options.quiet) note(prompt.note);
  for (const std::string& warning : prompt.warnings) warn(warning);

  TRINE_TRY(LoadedModel model, open_model(options.model, engine::Read::weights_and_tokenizer));
  const model::Config& config = model.config();
  TRINE_TRY(const std::int32_t context,
            engine::choose_context(config, options.context, default_context).map_error(in_flags));
  engine::GenerateRequest request;
  TRINE_TRY(request.prompt, tokens_of(options, model, std::move(prompt), context));
  TRINE_CHECK_OK(
      engine::require_fit(request.prompt.size(), context, config.context_length).map_error(in_flags));
  const engine::FileSampling from_file = engine::read_file_sampling(model.file->metadata());
  for (const std::string& warning : from_file.warnings) warn(warning);
  request.sampling = options.sampling.over(from_file.params);
  TRINE_CHECK_OK(engine::check_sampling(request.sampling, config.vocab_size).map_error(in_flags));
  warn_if_larger_than_memory(*model.file);
  TRINE_CHECK_OK(start_backend(model, options.model, context));
  introduce(options, model, request, options.sampling.left_of(from_file.used), context);
  if (options.verbose) show_prompt(model.tokenizer->decode(request.prompt, false));

  std::atomic<bool>& stop_now = watch_interrupt();
  request.context = context;
  request.max_tokens = options.max_tokens.value_or(-1);
  request.stop = options.stop;
  request.cancel = &stop_now;
  if (!options.json) {
    request.on_text = [&stop_now](std::string_view text) {
      write_out(text);
      flush_out();
      if (output_failed()) stop_now = true;  // the error itself is reported when the command ends
    };
  }
  const Session session{model, request.prompt.size(), context, request.sampling};
  TRINE_TRY(const engine::GenerateResult result, engine::generate(*model.device, *model.tokenizer, request));
  if (options.json) {
    write_json(to_json(session, result));
  } else {
    write_out("\n");
  }
  flush_out();
  if (!options.quiet && !options.json) print_statistics(session, result);
  return result.finish == engine::FinishReason::cancelled ? interrupted_status() : 0;
}

}  // namespace

Action define_run(CLI::App& app) {
  const auto options = std::make_shared<RunOptions>();
  describe(
      app,
      "Generates text from a prompt. A model with a chat template gets the prompt as a chat request; --raw "
      "and models\n"
      "without one get it as text to be continued. Text goes to stdout, statistics go to stderr. Ctrl-C ends "
      "the text\n"
      "cleanly (exit status 130); a second one ends the program at once.");
  add_text_source(
      app, options->prompt,
      {"PROMPT",
       "what to answer or to continue; none: read from stdin. Text on stdin (a pipe, or a file from "
       "its beginning) or in --file stands before the argument, with a blank line between, or with nothing "
       "between where it is continued; < /dev/null keeps stdin out",
       "prompt, or its beginning, from a file of at most 16 MiB; '-': stdin",
       "'-': read stdin, in front of the file and the prompt"});
  add_model_options(app, options->model);
  add_number(app, "--ctx", options->context, 1, std::numeric_limits<std::int32_t>::max(),
             "context for prompt and output, in tokens; at most the model's own; default: the model's own, "
             "at most 4096");
  add_text(app, "--system", options->system, "system message of a chat request; default: none")
      .type_name("TEXT");
  add_flag(app, "--raw", options->raw,
           "continue the text as it is, with no chat template; special tokens are read");
  add_number(app, "-n,--max-tokens", options->max_tokens, 1, std::numeric_limits<std::int32_t>::max(),
             "most tokens to generate; default: until the model ends or the context is full");
  add_text(app, "--stop", options->stop,
           "end before this text, which is not shown; repeatable; default: none")
      .type_name("TEXT")
      .one_value_each();
  add_sampling_options(app, options->sampling);
  add_flag(app, "--json", options->json,
           "print one JSON object when done: text, tokens, finish_reason, timings, device, model, seed")
      .group("Output");
  add_flag(app, "-q,--quiet", options->quiet, "print the text only; warnings and errors remain")
      .group("Output");
  add_flag(app, "-v,--verbose", options->verbose,
           "say more about the model on stderr, and show the prompt as the model gets it")
      .group("Output")
      .excludes("--quiet");
  set_footer(app,
             "Examples:\n"
             "  trine run \"Write a Python function that computes the factorial of n.\"\n"
             "  trine run -m model.gguf --system \"Answer in one line.\" \"What is a mutex?\"\n"
             "  cat main.c | trine run model.gguf \"Explain this program.\"\n"
             "  trine run --raw --temperature 0 -n 48 $'def fibonacci(n):\\n'\n"
             "  cat question.txt | trine run --quiet > answer.txt");
  return [options]() -> Result<int> {
    TRINE_CHECK_OK(settle_model(options->prompt, options->model.path));
    return run(*options);
  };
}

}  // namespace trine::cli
