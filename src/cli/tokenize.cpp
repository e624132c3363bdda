#include "cli/command.h"
#include "cli/console.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/prompt.h"

#include <fmt/ranges.h>
#include <memory>
#include <nlohmann/json.hpp>

namespace trine::cli {
namespace {

struct TokenizeOptions {
  std::string model;
  TextSource text;
  bool no_special = false;
  bool quiet = false;
  bool json = false;
};

Result<int> tokenize(const TokenizeOptions& options) {
  TRINE_CHECK_OK(require_model_file(options.model));
  TRINE_TRY(const std::string text, read_text(options.text, "text"));
  TRINE_TRY(const ModelPath model, find_model(options.model));
  if (!options.quiet) introduce_demo(model);
  TRINE_TRY(const gguf::File file, gguf::File::open(model.path, gguf::Parts::first));
  TRINE_TRY(const text::Tokenizer tokenizer, text::Tokenizer::from_gguf(file.metadata()));
  warn_of_file(tokenizer.warnings());
  const std::vector<text::TokenId> ids = tokenizer.encode(text, !options.no_special);
  if (!options.json) {
    write_out(fmt::format("{}\n", fmt::join(ids, " ")));
    return 0;
  }
  nlohmann::ordered_json pieces = nlohmann::ordered_json::array();
  for (const text::TokenId id : ids) pieces.push_back(std::string(tokenizer.raw_piece(id)));
  const nlohmann::ordered_json out = {{"ids", ids}, {"pieces", std::move(pieces)}};
  // Pieces are valid UTF-8 unless the file's own vocabulary is not; then U+FFFD stands in.
  write_json(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  return 0;
}

}  // namespace

Action define_tokenize(CLI::App& app) {
  const auto options = std::make_shared<TokenizeOptions>();
  describe(
      app,
      "Turns text into token ids. Bytes are taken as they are, valid UTF-8 or not, and no token is added.\n"
      "Needs only the file's tokenizer: a vocabulary-only GGUF works.");
  add_text_source(
      app, options->text,
      {"TEXT", "text; '-' or none: read from stdin", "text, from a file of at most 64 MiB; '-': stdin"});
  add_model_path(app, options->model);
  add_flag(app, "--no-special", options->no_special,
           "read <|im_start|> and the like as plain text; default: as special tokens");
  add_flag(app, "--json", options->json,
           "print {\"ids\": […], \"pieces\": […]}; pieces as the vocabulary spells them, one character "
           "per byte (a space "
           "is Ġ, a newline Ċ)");
  add_flag(app, "-q,--quiet", options->quiet, "no notes; warnings and errors remain").group("Output");
  set_footer(app,
             "Examples:\n"
             "  trine tokenize \"def main():\"\n"
             "  trine tokenize --file prompt.txt --json\n"
             "  printf 'a\\0b' | trine tokenize | trine detokenize");
  return [options]() -> Result<int> {
    TRINE_CHECK_OK(settle_model(options->text, options->model));
    return tokenize(*options);
  };
}

}  // namespace trine::cli
