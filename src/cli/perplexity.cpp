#include "base/thread_pool.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/in_flags.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "engine/prompt.h"
#include "gguf/part_name.h"
#include "model/open_slot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

namespace trine::cli {
namespace {

constexpr std::int32_t default_window = 512;
constexpr std::int32_t smallest_window = 4;
constexpr std::uint64_t most_bytes = 1 << 30;
constexpr std::int32_t slice_rows = 128;  // bounds the logits held at once: 128 × 151,936 floats are 74 MiB

struct PerplexityOptions {
  ModelOptions model;
  TextSource arguments;
  std::string text;  // the file
  std::optional<std::int32_t> window;
  bool json = false;
  bool quiet = false;
};

// Negative log likelihoods in nats, summed in 64-bit floats.
struct Score {
  std::int64_t tokens = 0;
  double sum = 0;
  double sum_of_squares = 0;

  void add(double nll) {
    tokens += 1;
    sum += nll;
    sum_of_squares += nll * nll;
  }
  double mean() const { return sum / static_cast<double>(tokens); }
  double perplexity() const { return std::exp(mean()); }
  // Of the perplexity: the standard error of the mean, carried through exp(). Takes tokens as independent.
  double standard_error() const {
    if (tokens < 2) return std::numeric_limits<double>::infinity();
    const auto n = static_cast<double>(tokens);
    const double variance = std::max(0.0, (sum_of_squares - sum * sum / n) / (n - 1));
    return perplexity() * std::sqrt(variance / n);
  }
};

// -log softmax(logits)[target]; NaN when the logits hold NaN.
double negative_log_likelihood(std::span<const float> logits, std::int32_t target) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const float logit : logits) largest = std::max(largest, static_cast<double>(logit));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return std::log(sum) + largest - static_cast<double>(logits[static_cast<std::size_t>(target)]);
}

// Scores windows of one text. The tokens of a window's second half are predicted from all that stands before
// them in the window, so that every prediction sees at least half a window of context; the first half is
// context only. This is how llama.cpp's perplexity tool counts, so figures can be compared.
class Scorer {
 public:
  Scorer(model::DeviceModel& model, model::OpenSlot slot, int threads)
      : model_(model), slot_(std::move(slot)), pool_(threads) {}

  // Whether the window was scored: not when `stop_now` came between; then the score is as it was before.
  // Errors: inference, also when a likelihood is no number.
  Result<bool> add_window(std::span<const text::TokenId> window, const std::atomic<bool>& stop_now) {
    const Score before = score_;
    // The last token is predicted but predicts nothing, so it is not run.
    const auto inputs = static_cast<std::int32_t>(window.size()) - 1;
    const std::int32_t first_scored = static_cast<std::int32_t>(window.size()) / 2;
    const std::int32_t slice = std::min(slice_rows, model_.limits().rows);
    for (std::int32_t begin = 0; begin < inputs; begin += slice) {
      if (stop_now) {
        score_ = before;
        return false;
      }
      TRINE_CHECK_OK(add_slice(window, begin, std::min(inputs, begin + slice), first_scored));
    }
    return true;
  }

  const Score& score() const { return score_; }

 private:
  Result<void> add_slice(std::span<const text::TokenId> window, std::int32_t begin, std::int32_t end,
                         std::int32_t first_scored) {
    const auto vocab = static_cast<std::size_t>(model_.config().vocab_size);
    model::Step step;
    for (std::int32_t i = begin; i < end; ++i) {
      step.rows.push_back({window[static_cast<std::size_t>(i)], i, slot_.id(),
                           i >= first_scored ? model::Wants::logits : model::Wants::nothing});
    }
    const std::int32_t scored_from = std::max(begin, first_scored);
    const auto scored = static_cast<std::size_t>(std::max(0, end - scored_from));
    TRINE_TRY(const model::StepOutput output, model_.run(step));
    const std::span<const float> logits(output.logits);

    nlls_.resize(scored);
    pool_.parallel_for(static_cast<std::int64_t>(scored), 1, [&](std::int64_t row, std::int64_t, int) {
      const auto r = static_cast<std::size_t>(row);
      const text::TokenId target = window[static_cast<std::size_t>(scored_from) + r + 1];
      nlls_[r] = negative_log_likelihood(logits.subspan(r * vocab, vocab), target);
    });
    for (const double nll : nlls_) {
      if (!std::isfinite(nll))
        return fail(
            {.code = ErrorCode::inference,
             .what = "the model's logits hold a value that is no number",
             .where = fmt::format("scored token {}", score_.tokens + 1),
             .hint = "The weights may be damaged: download the file again, or judge it with 'trine verify'"});
      score_.add(nll);
    }
    return {};
  }

  model::DeviceModel& model_;
  model::OpenSlot slot_;
  ThreadPool pool_;
  std::vector<double> nlls_;
  Score score_;
};

struct PerplexityReport {
  const LoadedModel& model;
  const Score& score;
  std::size_t text_tokens = 0;
  std::int32_t window = 0;
  std::size_t windows = 0;  // finished
  bool interrupted = false;
};

std::string to_json(const PerplexityReport& report) {
  const Score& score = report.score;
  const nlohmann::ordered_json out = {
      {"perplexity", score.perplexity()},
      {"standard_error", score.standard_error()},
      {"nats_per_token", score.mean()},
      {"bits_per_token", score.mean() / std::log(2.0)},
      {"tokens_scored", score.tokens},
      {"tokens_in_text", report.text_tokens},
      {"window", report.window},
      {"windows", report.windows},
      {"interrupted", report.interrupted},
      {"model", {{"path", report.model.source.path}, {"demo", report.model.source.is_demo}}},
      {"device", device_json(report.model.device->describe())},
      {"backend_choice", report.model.choice.reason}};
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string to_text(const PerplexityReport& report) {
  const Score& score = report.score;
  return fmt::format(
      "perplexity  {:.4f} ± {:.4f}\nper token   {:.4f} nats, {:.4f} bits\n"
      "scored      {} of {} in {} of {}{}\n",
      score.perplexity(), score.standard_error(), score.mean(), score.mean() / std::log(2.0), score.tokens,
      plural(report.text_tokens, "token"), plural(report.windows, "window"), report.window,
      report.interrupted ? ", interrupted" : "");
}

// As the tokenizer makes them, with the token in front that the model wants there.
Result<std::vector<text::TokenId>> read_tokens(const std::string& path, const text::Tokenizer& tokenizer) {
  TRINE_TRY(const std::string text, read_input(path, most_bytes, Holds::text));
  return engine::encode_text(tokenizer, text, false);
}

// Runs all windows, or those before Ctrl-C. Progress is counted in bytes of text.
Result<void> score_windows(Scorer& scorer, PerplexityReport& report, std::size_t windows,
                           std::span<const text::TokenId> tokens, const text::Tokenizer& tokenizer,
                           bool quiet) {
  const auto window = static_cast<std::size_t>(report.window);
  const std::atomic<bool>& stop_now = watch_interrupt();
  Progress progress("scoring", tokenizer.decode(tokens.first(windows * window), false).size());
  if (quiet) progress.finish();
  for (; report.windows < windows && !stop_now; ++report.windows) {
    const std::span<const text::TokenId> span = tokens.subspan(report.windows * window, window);
    TRINE_TRY(const bool scored, scorer.add_window(span, stop_now));
    if (!scored) break;
    progress.relabel(fmt::format("perplexity {:.4f}", scorer.score().perplexity()));
    progress.add(tokenizer.decode(span, false).size());
  }
  return {};
}

// Which argument is the model, and which the text.
Result<void> settle_arguments(PerplexityOptions& options) {
  TRINE_CHECK_OK(settle_model(options.arguments, options.model.path, ArgumentIs::file_name));
  if (options.arguments.stdin_too)
    return fail({.code = ErrorCode::usage, .what = "one text is scored, and two are given"});
  if (!options.arguments.argument) {
    Error error{.code = ErrorCode::usage, .what = "FILE is required"};
    if (options.arguments.model)
      error.hint = fmt::format("trine perplexity {} text.txt", gguf::shell_word(*options.arguments.model));
    return fail(error);
  }
  options.text = *options.arguments.argument;
  return {};
}

Result<int> perplexity(const PerplexityOptions& options) {
  TRINE_TRY(LoadedModel model, open_model(options.model, engine::Read::weights_and_tokenizer));
  const text::Tokenizer& tokenizer = *model.tokenizer;
  TRINE_TRY(const std::vector<text::TokenId> tokens, read_tokens(options.text, tokenizer));
  TRINE_TRY(std::int32_t window,
            engine::choose_context(model.config(), options.window, default_window).map_error(in_flags));
  if (tokens.size() < smallest_window) {
    return fail({.code = ErrorCode::validation_failed,
                 .what = "the text is too short to be scored",
                 .where = input_name(options.text),
                 .expected = fmt::format("at least {} tokens", smallest_window),
                 .actual = fmt::format("{}", tokens.size())});
  }
  // A text shorter than a window is one window.
  window = static_cast<std::int32_t>(std::min<std::size_t>(tokens.size(), static_cast<std::size_t>(window)));
  if (!options.quiet) introduce_demo(model.source);
  warn_if_larger_than_memory(*model.file);
  TRINE_CHECK_OK(start_backend(model, options.model, window));

  TRINE_TRY(model::OpenSlot slot, model::OpenSlot::open_whole(*model.device));
  Scorer scorer(*model.device, std::move(slot), options.model.load.threads);
  PerplexityReport report{model, scorer.score(), tokens.size(), window, 0, false};
  const std::size_t windows = tokens.size() / static_cast<std::size_t>(window);
  TRINE_CHECK_OK(score_windows(scorer, report, windows, tokens, tokenizer, options.quiet));
  report.interrupted = report.windows < windows;
  if (report.windows == 0) return interrupted_status();
  if (options.json) {
    write_json(to_json(report));
  } else {
    write_out(to_text(report));
  }
  if (!options.quiet && !options.json) {
    write_err(fmt::format("device      {} ({})\n", printable(describe_device(model.device->describe())),
                          printable(model.choice.reason)));
  }
  return report.interrupted ? interrupted_status() : 0;
}

}  // namespace

Action define_perplexity(CLI::App& app) {
  const auto options = std::make_shared<PerplexityOptions>();
  describe(
      app,
      "Measures how well a model predicts a text: exp of the mean negative log likelihood of its tokens, "
      "lower is better.\n"
      "The text is cut into windows; the tokens in the second half of each are scored, the first half is "
      "context.");
  add_word(app, options->arguments, "MODEL",
           "GGUF file, as -m takes it; the first argument is one when it is a GGUF file, ends in .gguf, or "
           "names anything that is there and another argument follows");
  add_word(app, options->arguments, "FILE", "text file; '-': stdin; required");
  add_model_options(app, options->model);
  add_number(app, "--ctx", options->window, smallest_window, std::numeric_limits<std::int32_t>::max(),
             "window, in tokens; at most the model's context; default: 512, or the model's context when that "
             "is less");
  add_flag(app, "--json", options->json, "print one JSON object").group("Output");
  add_flag(app, "-q,--quiet", options->quiet, "no progress and no notes; warnings and errors remain")
      .group("Output");
  set_footer(app,
             "Examples:\n"
             "  trine perplexity text.txt\n"
             "  trine perplexity model.gguf text.txt\n"
             "  trine perplexity -m model.gguf --ctx 2048 --numerics exact --json text.txt");
  return [options]() -> Result<int> {
    TRINE_CHECK_OK(settle_arguments(*options));
    return perplexity(*options);
  };
}

}  // namespace trine::cli
