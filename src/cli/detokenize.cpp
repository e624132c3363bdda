#include "cli/command.h"
#include "cli/console.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/prompt.h"

#include <limits>
#include <memory>

namespace trine::cli {
namespace {

constexpr std::uint64_t most_list_bytes = 1 << 30;

struct DetokenizeOptions {
  std::string model;
  std::vector<std::string> ids;
  bool skip_special = false;
  bool quiet = false;
};

// Ids separated by white space or commas.
Result<std::vector<text::TokenId>> parse_ids(std::string_view text, std::int32_t vocab_size) {
  constexpr std::string_view separators = " \t\r\n,";
  std::vector<text::TokenId> ids;
  while (true) {
    const std::size_t begin = text.find_first_not_of(separators);
    if (begin == std::string_view::npos) return ids;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(separators));
    text.remove_prefix(word.size());
    const auto id = parse_int(word);
    if (!id || *id < 0 || *id >= vocab_size) {
      return fail({.code = ErrorCode::validation_failed,
                   .what = id ? "token id out of range" : "not a token id",
                   .where = fmt::format("id number {}", ids.size() + 1),
                   .expected = fmt::format("0 to {}", vocab_size - 1),
                   .actual = fmt::format("'{}'", word.substr(0, 40))});
    }
    ids.push_back(static_cast<text::TokenId>(*id));
  }
}

// An id that names a file is the model.
Result<void> settle_model(DetokenizeOptions& options) {
  if (options.ids.empty() || !names_a_model(options.ids.front())) return {};
  if (!options.model.empty())
    return fail({.code = ErrorCode::usage,
                 .what = "the model is given twice",
                 .expected = "an argument or --model",
                 .actual = "both"});
  options.model = options.ids.front();
  options.ids.erase(options.ids.begin());
  return {};
}

Result<int> detokenize(const DetokenizeOptions& options) {
  std::string list;
  for (const std::string& id : options.ids) list += id + " ";
  if (options.ids.empty()) {
    if (stdin_is_terminal())
      return fail(
          {.code = ErrorCode::usage, .what = "no token ids given", .expected = "arguments, or ids on stdin"});
    TRINE_TRY(list, read_input("-", most_list_bytes, Holds::bytes));
  }
  TRINE_TRY(const ModelPath model, find_model(options.model));
  if (!options.quiet) introduce_demo(model);
  TRINE_TRY(const gguf::File file, gguf::File::open(model.path, gguf::Parts::first));
  TRINE_TRY(const text::Tokenizer tokenizer, text::Tokenizer::from_gguf(file.metadata()));
  warn_of_file(tokenizer.warnings());
  TRINE_TRY(const std::vector<text::TokenId> ids, parse_ids(list, tokenizer.vocab_size()));
  write_out(tokenizer.decode(ids, options.skip_special));
  return 0;
}

}  // namespace

Action define_detokenize(CLI::App& app) {
  const auto options = std::make_shared<DetokenizeOptions>();
  describe(app,
           "Turns token ids into the bytes they stand for, and adds nothing: no newline either.\n"
           "Needs only the file's tokenizer: a vocabulary-only GGUF works.");
  add_text(app, "IDS", options->ids,
           "ids separated by white space or commas; none: read from stdin. A GGUF file in the first place is "
           "the model, as -m takes it");
  add_model_path(app, options->model);
  add_flag(app, "--skip-special", options->skip_special,
           "leave special tokens out; default: print their spelling");
  add_flag(app, "-q,--quiet", options->quiet, "no notes; warnings and errors remain").group("Output");
  set_footer(app,
             "Examples:\n"
             "  trine detokenize 322 5354 4965\n"
             "  trine tokenize \"x = 1\" | trine detokenize");
  return [options]() -> Result<int> {
    TRINE_CHECK_OK(settle_model(*options));
    return detokenize(*options);
  };
}

}  // namespace trine::cli
