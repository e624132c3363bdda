#include "cli/prompt.h"

#include "base/descriptor.h"
#include "cli/console.h"
#include "cli/input.h"
#include "cli/options.h"
#include "gguf/part_name.h"
#include "text/utf8.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

namespace trine::cli {
namespace {

constexpr std::uint64_t most_text_bytes = 64 << 20;

bool is_there(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

bool is_gguf_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  char magic[4];
  return file.get() >= 0 && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::read(file.get(), magic, sizeof magic) == sizeof magic && std::string_view(magic, 4) == "GGUF";
}

bool is_named_as_models_are(const std::string& argument) {
  if (is_gguf_file(argument)) return true;
  if (!argument.ends_with(".gguf")) return false;
  return is_there(argument) || argument.find_first_of(" \t\n") == std::string::npos;
}

// model.gguf.part1of2, model.gguf.gz: opening it says what it is.
bool is_file_made_of_a_model(const std::string& path) {
  struct stat status {};
  const std::size_t name = path.rfind('/') + 1;  // 0 where there is no slash
  return ::strcasestr(path.c_str() + name, ".gguf") != nullptr && ::stat(path.c_str(), &status) == 0 &&
         S_ISREG(status.st_mode);
}

// Unicode's White_Space, and the byte order mark.
bool is_blank(std::string_view text) {
  constexpr std::string_view one_byte = " \t\n\v\f\r";
  constexpr std::string_view longer[] = {"\u0085", "\u00A0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
                                         "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200A",
                                         "\u2028", "\u2029", "\u202F", "\u205F", "\u3000", "\uFEFF"};
  while (!text.empty()) {
    text.remove_prefix(std::min(text.find_first_not_of(one_byte), text.size()));
    const auto* space = std::find_if(std::begin(longer), std::end(longer),
                                     [&](std::string_view one) { return text.starts_with(one); });
    if (space == std::end(longer)) return text.empty();
    text.remove_prefix(space->size());
  }
  return true;
}

// Bytes of the byte order mark in front.
std::size_t byte_order_mark(std::string_view text) {
  constexpr std::string_view mark = "\uFEFF";
  return text.starts_with(mark) ? mark.size() : 0;
}

// Empty for UTF-8.
std::string encoding_warning(std::string_view text, const std::string& origin) {
  const std::size_t at = text::find_ill_formed(text, 0);
  if (at == text.size()) return {};
  return fmt::format(
      "{} is not valid UTF-8: the byte at offset {} is 0x{:02X}. It goes to the model byte by byte; text in "
      "another encoding must be converted first, as iconv -f UTF-16LE -t UTF-8 does with UTF-16",
      origin, at, static_cast<unsigned char>(text[at]));
}

void end_lines_with_newlines(std::string& text) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (!(text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n')) text[kept++] = text[i];
  text.resize(kept);
}

Error no_text_given(const TextSource& source, const std::string& what) {
  Error error{.code = ErrorCode::usage,
              .what = fmt::format("no {} given", what),
              .expected = "an argument, --file FILE, or text on stdin"};
  if (source.model) error.hint = fmt::format("'{}' is the model; the {} follows it", *source.model, what);
  return error;
}

// Reads the parts of one prompt.
class PromptReader {
 public:
  PromptReader(const TextSource& source, bool any_space) : source_(source), any_space_(any_space) {
    if (source.argument && *source.argument != "-") argument_ = source.argument;
    named_stdin_ = source.argument == "-" || source.file == "-" || source.stdin_too;
  }

  Result<PromptParts> read() {
    const bool has_file = !source_.file.empty() && source_.file != "-";
    const bool is_alone = !argument_ && !has_file;
    if (named_stdin_ || (is_alone && !stdin_is_terminal())) {
      TRINE_CHECK_OK(add_input("-", true));
    } else if (is_alone) {
      return fail(no_text_given(source_, "prompt"));
    } else if (has_file && stdin_has_text_now()) {
      prompt_.note = "stdin has text that is not read beside --file; '-' as an argument reads it too";
    } else if (!has_file && stdin_is_for_us()) {
      TRINE_CHECK_OK(add_input("-", false));
      if (!prompt_.parts.empty())
        prompt_.note = fmt::format("the prompt is {} bytes from stdin, then the argument", prompt_.bytes());
    }
    if (has_file) TRINE_CHECK_OK(add_input(source_.file, true));
    if (argument_) TRINE_CHECK_OK(add(*argument_, "the argument"));
    if (prompt_.bytes() > most_prompt_bytes)
      return fail({.code = ErrorCode::validation_failed,
                   .what = "the prompt is too large",
                   .expected = fmt::format("at most {} bytes", most_prompt_bytes),
                   .actual = fmt::format("{} bytes", prompt_.bytes())});
    return std::move(prompt_);
  }

 private:
  bool is_nothing(std::string_view text) const { return text.empty() || (!any_space_ && is_blank(text)); }

  // What was not asked for may bring nothing.
  Result<void> add_input(const std::string& path, bool asked_for) {
    TRINE_TRY(std::string text, read_input(path, most_prompt_bytes, Holds::text));
    if (!asked_for && is_nothing(std::string_view(text).substr(byte_order_mark(text)))) return {};
    return add(std::move(text), input_name(path));
  }

  Result<void> add(std::string text, const std::string& origin) {
    std::string warning = encoding_warning(text, origin);
    text.erase(0, byte_order_mark(text));
    if (is_nothing(text))
      return fail({.code = ErrorCode::usage,
                   .what = "the prompt is empty",
                   .where = origin,
                   .expected = "text to answer or to continue",
                   .actual = text.empty() ? "" : "white space only",
                   .hint = fmt::format("trine run {}\"What is a mutex?\"",
                                       source_.model ? gguf::shell_word(*source_.model) + " " : "")});
    if (!warning.empty()) prompt_.warnings.push_back(std::move(warning));
    prompt_.parts.push_back(std::move(text));
    return {};
  }

  const TextSource& source_;
  bool any_space_;
  std::optional<std::string> argument_;
  bool named_stdin_ = false;
  PromptParts prompt_;
};

}  // namespace

void add_text_source(CLI::App& app, TextSource& source, const SourceNames& names) {
  add_word(app, source, "MODEL",
           "GGUF file, as -m takes it; the first argument is one when it is a GGUF file, ends in .gguf, is a "
           "file with .gguf in its name, or names anything that is there and another argument follows");
  if (!names.stdin_help.empty()) add_word(app, source, "STDIN", names.stdin_help);
  add_word(app, source, names.argument, names.argument_help);
  add_text(app, "-f,--file", source.file, names.file_help).type_name("FILE").only_once();
}

void add_word(CLI::App& app, TextSource& source, const std::string& name, const std::string& help) {
  add_parsed(
      app, name, [&source](const std::string& word) { source.words.push_back(word); }, help);
}

bool names_a_model(const std::string& argument) {
  return is_named_as_models_are(argument) || is_file_made_of_a_model(argument);
}

Result<void> settle_model(TextSource& source, std::string& model_path, ArgumentIs argument_is) {
  std::vector<std::string> words = std::exchange(source.words, {});
  const bool is_first_of_several = words.size() > 1 && words.front() != "-";
  const bool names_stdin = std::erase(words, "-") > 0;

  const bool is_alone = words.size() == 1;
  if (!words.empty() && (!is_alone || model_path.empty())) {
    const std::string& first = words.front();
    const bool is_model = (is_alone && argument_is == ArgumentIs::file_name ? is_named_as_models_are(first)
                                                                            : names_a_model(first)) ||
                          (is_first_of_several && model_path.empty() && is_there(first));
    if (is_model && !model_path.empty())
      return fail({.code = ErrorCode::usage,
                   .what = "the model is given twice",
                   .expected = "an argument or --model",
                   .actual = "both"});
    if (is_model) {
      source.model = model_path = first;
      words.erase(words.begin());
    }
  }
  if (words.size() > 1)
    return fail({.code = ErrorCode::usage,
                 .what = fmt::format("unexpected argument '{}'", words[1]),
                 .hint = "Put words that belong together between quotes"});
  if (!words.empty()) {
    source.argument = std::move(words.front());
    source.stdin_too = names_stdin;
  } else if (names_stdin) {
    source.argument = "-";
  }
  return {};
}

Result<std::string> read_text(const TextSource& source, const std::string& what) {
  if (source.argument && (source.stdin_too || !source.file.empty())) {
    return fail({.code = ErrorCode::usage,
                 .what = fmt::format("the {} is given twice", what),
                 .expected = "one of an argument, --file FILE, and '-'"});
  }
  if (!source.file.empty()) return read_input(source.file, most_text_bytes, Holds::bytes);
  if (source.argument && *source.argument != "-") return *source.argument;
  if (!source.argument && stdin_is_terminal()) return fail(no_text_given(source, what));
  return read_input("-", most_text_bytes, Holds::bytes);
}

std::size_t PromptParts::bytes() const {
  std::size_t sum = 0;
  for (const std::string& part : parts) sum += part.size();
  return sum;
}

Result<PromptParts> read_prompt(const TextSource& source, bool any_space) {
  return PromptReader(source, any_space).read();
}

std::string as_message(PromptParts prompt) {
  std::string message;
  for (std::string& part : prompt.parts) {
    end_lines_with_newlines(part);
    if (part.ends_with('\n')) part.pop_back();
    if (message.empty()) {
      message = std::move(part);
    } else {
      message.append("\n\n").append(part);
    }
  }
  return message;
}

std::string as_raw_text(PromptParts prompt) {
  std::string text;
  for (std::string& part : prompt.parts) {
    if (text.empty()) {
      text = std::move(part);
    } else {
      text += part;
    }
  }
  return text;
}

}  // namespace trine::cli
