#include "cli/prompt.h"
#include "cli/options.h"

#include "base/file.h"
#include "cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

namespace trine::cli {
namespace {

// A million tokens are some MiB; what is longer by so much is another file than was meant (/dev/zero).
constexpr std::uint64_t most_bytes = 64 << 20;

}  // namespace

void add_text_source(CLI::App& app, TextSource& source, const std::string& name, const std::string& what) {
  add_text(app, name, source.argument, what + "; '-' or none: read from stdin");
  add_text(app, "-f,--file", source.file, what + ", from a file").type_name("FILE");
}

Result<SourceText> read_text(const TextSource& source, const std::string& what) {
  if (source.argument && !source.file.empty()) {
    return fail({.code = ErrorCode::usage,
                 .what = fmt::format("the {} is given twice", what),
                 .expected = "an argument or --file",
                 .actual = "both"});
  }
  SourceText text;
  if (!source.file.empty()) {
    TRINE_TRY(text.bytes, read_file(source.file, most_bytes));
    text.origin = source.file;
    return text;
  }
  if (source.argument && *source.argument != "-") {
    text.bytes = *source.argument;
    text.origin = "the argument";
    return text;
  }
  if (!source.argument && stdin_is_terminal()) {
    return fail({.code = ErrorCode::usage,
                 .what = fmt::format("no {} given", what),
                 .expected = "an argument, --file FILE, or text on stdin"});
  }
  TRINE_TRY(text.bytes, read_all(STDIN_FILENO, "stdin", most_bytes));
  text.from_stdin = true;
  text.origin = "stdin";
  return text;
}

}  // namespace trine::cli
