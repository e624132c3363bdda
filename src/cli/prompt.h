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
  std::optional<std::string> model;     // the argument that turns out to be the model
  std::optional<std::string> argument;  // "-" means stdin
  std::string file;                     // the same
  bool stdin_too = false;               // "-" stands beside the argument
  std::vector<std::string> words = {};  // the arguments as they came; settle_model() turns them into the rest
};

// The arguments [MODEL] [NAME], with [STDIN] between them when it has a help, and --file.
struct SourceNames {
  std::string argument, argument_help, file_help, stdin_help = {};
};
void add_text_source(CLI::App& app, TextSource& source, const SourceNames& names);
// One argument; they are given their words in the order in which they are added.
void add_word(CLI::App& app, TextSource& source, const std::string& name, const std::string& help);

// An argument that is a model: a GGUF file, one that ends in .gguf, or a file with .gguf in its name, as the
// pieces of one have. One that ends so and is not there is one too, unless it has spaces like a question that
// ends in a file's name.
bool names_a_model(const std::string& argument);

// What an argument that is not the model is: text, or the name of a file, which may have .gguf in it.
enum class ArgumentIs { text, file_name };

// Tells the arguments apart: "-" wherever it stands, the model, the text. The first but "-" is the model when
// it names one, or when it is the first of several and anything is there by its name; it goes to
// `model_path`. Where that is set (--model), a lone one is the text. Errors: usage (more words than these, a
// model given twice).
Result<void> settle_model(TextSource& source, std::string& model_path,
                          ArgumentIs argument_is = ArgumentIs::text);

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
