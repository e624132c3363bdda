#pragma once

#include "base/error.h"

#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace trine::cli {

// Text that a command works on: an argument, a file, or stdin.
struct TextSource {
  std::optional<std::string> argument;  // "-" means stdin
  std::string file;
};

// The positional argument NAME and --file.
void add_text_source(CLI::App& app, TextSource& source, const std::string& name, const std::string& what);

struct SourceText {
  std::string bytes;  // as they came
  bool from_stdin = false;
  std::string origin;  // "stdin", "the argument" or the file's path, for messages
};
// Stdin is read when it is named or when nothing else is given and it is no terminal.
// Errors: usage (both an argument and a file, or nothing at all), file_not_found, io.
Result<SourceText> read_text(const TextSource& source, const std::string& what);

}  // namespace trine::cli
