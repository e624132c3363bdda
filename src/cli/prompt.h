#pragma once

#include "base/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace trine::cli {

// Text that a command works on, as the command line names it.
struct TextSource {
  std::optional<std::string> model;     // the first argument, when it turns out to be a model
  std::optional<std::string> argument;  // "-" means stdin
  std::string file;                     // the same
};

// The arguments [MODEL] [NAME], and --file. After parsing, settle_model() tells which of them were given.
struct SourceNames {
  std::string argument, argument_help, file_help;
};
void add_text_source(CLI::App& app, TextSource& source, const SourceNames& names);

// An argument that is a model: a GGUF file, or one that ends in .gguf. One that ends so and is not there is
// one too, unless it has spaces like a question that ends in a file's name.
bool names_a_model(const std::string& argument);

// A lone argument is the text, unless it names a model and `model_path` (--model) is empty; then, and where
// there are two, the first goes to `model_path`. Of two, "-" is stdin as --file - has it. Errors: usage (a
// first of two that names no model, a model given twice).
Result<void> settle_model(TextSource& source, std::string& model_path);

// One text, byte for byte, from one source. Stdin is read when it is named or when nothing else is given and
// it is no terminal. Errors: usage (two sources, or none), those of read_input().
Result<std::string> read_text(const TextSource& source, const std::string& what);

// ---- Prompts ----

// A million tokens are about 4 MiB. What is longer by so much is another file than was meant (/dev/zero), and
// making tokens of it would cost up to many times its size.
constexpr std::uint64_t most_prompt_bytes = 16 << 20;

// The parts of a prompt in their order: what stdin brings, the file, the argument.
struct PromptParts {
  std::vector<std::string> parts;  // without a byte order mark, else as they came
  std::string note;                // what a user may not expect of where they came from; empty when nothing
  std::vector<std::string> warnings;  // of parts that are no UTF-8

  std::size_t bytes() const;
};

// Stdin is read when it is named, when nothing else is given and it is no terminal, and beside an argument
// when stdin_is_for_us(), where it may bring nothing. `any_space`: white space alone is a prompt too. Errors:
// usage (nothing given; an empty part, or one of white space only), those of read_input() for text.
Result<PromptParts> read_prompt(const TextSource& source, bool any_space);

// A message: CRLF becomes a newline, a newline at the end of a part is dropped, a blank line parts them.
std::string as_message(PromptParts prompt);
// Text to be continued: the parts' bytes, one behind the other.
std::string as_raw_text(PromptParts prompt);

}  // namespace trine::cli
