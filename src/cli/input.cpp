#include "cli/input.h"

#include "base/descriptor.h"
#include "cli/console.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace trine::cli {
namespace {

constexpr int patience_ms = 2000;

bool is_regular(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

// Bytes from where a regular file is read to its end; none for anything else.
std::optional<std::uint64_t> bytes_left(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  const off_t at = ::lseek(descriptor, 0, SEEK_CUR);
  return static_cast<std::uint64_t>(std::max<off_t>(0, status.st_size - std::max<off_t>(0, at)));
}

// Reads one descriptor to its end.
class Reader {
 public:
  Reader(int descriptor, std::string name, std::uint64_t max_bytes, Holds holds)
      : descriptor_(descriptor), name_(std::move(name)), max_bytes_(max_bytes), holds_(holds) {}

  Result<std::string> read_all() {
    if (::isatty(descriptor_) != 0) {
      note(fmt::format("reading from {}, which is the terminal: Ctrl-D on a line of its own ends the text",
                       name_));
      spoken_ = true;
    }
    bool first = true;
    while (true) {
      TRINE_TRY(const bool more, read_some());
      // The beginning tells more about a file than that it is too large.
      if (holds_ == Holds::text && (first || !more)) TRINE_CHECK_OK(require_text(text_, name_));
      if (first) TRINE_CHECK_OK(make_room());
      if (text_.size() > max_bytes_) return too_large("more");
      if (!more) return std::move(text_);
      first = false;
    }
  }

 private:
  tl::unexpected<Error> too_large(std::string actual) const {
    return fail({.code = ErrorCode::validation_failed,
                 .what = "input is too large",
                 .where = name_,
                 .expected = fmt::format("at most {} bytes", max_bytes_),
                 .actual = std::move(actual)});
  }

  Result<void> make_room() {
    const auto left = bytes_left(descriptor_);
    if (!left) return {};
    const std::uint64_t bytes = text_.size() + *left;
    if (bytes > max_bytes_) return too_large(fmt::format("{} bytes", bytes));
    text_.reserve(bytes);
    return {};
  }

  // Until there is something to read, or the end.
  void wait() {
    pollfd end{descriptor_, POLLIN, 0};
    if (!spoken_ && ::poll(&end, 1, patience_ms) == 0) {
      spoken_ = true;
      note(fmt::format("waiting for {} of {}, which is still open{}", text_.empty() ? "the text" : "the end",
                       name_, descriptor_ == STDIN_FILENO ? " (< /dev/null gives it none)" : ""));
    }
    // A pipe that nobody has opened for writing yet would be read as ended.
    if (spoken_) ::poll(&end, 1, -1);
  }

  // False at the end.
  Result<bool> read_some() {
    char buffer[1 << 16];
    while (true) {
      wait();
      const ssize_t n = ::read(descriptor_, buffer, sizeof buffer);
      if (n >= 0) {
        text_.append(buffer, static_cast<std::size_t>(n));
        return n > 0;
      }
      // Whoever started us may have made stdin one that does not wait.
      if (errno == EINTR || errno == EAGAIN) continue;
      if (errno == EISDIR)
        return fail({.code = ErrorCode::file_not_found,
                     .what = "cannot read file",
                     .where = name_,
                     .expected = "a file",
                     .actual = "a directory"});
      return fail(
          {.code = ErrorCode::io, .what = "cannot read", .where = name_, .actual = std::strerror(errno)});
    }
  }

  int descriptor_;
  std::string name_;
  std::uint64_t max_bytes_;
  Holds holds_;
  std::string text_;
  bool spoken_ = false;
};

// The encoding as iconv(1) names it; empty for UTF-8 and what is like it. Without a mark in front, text in
// UTF-16 is known by a zero byte in nearly every character that is ASCII, and those on one side only.
std::string_view wide_encoding(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\xFF\xFE\0\0"sv) || bytes.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) return "UTF-16";
  constexpr std::size_t most_judged = 4096;
  const std::size_t pairs = std::min(bytes.size(), most_judged) / 2;
  std::size_t zeros[2] = {0, 0};
  for (std::size_t i = 0; i < 2 * pairs; ++i) zeros[i % 2] += bytes[i] == '\0' ? 1 : 0;
  if (pairs < 2 || std::min(zeros[0], zeros[1]) > 0 || 2 * std::max(zeros[0], zeros[1]) < pairs) return {};
  return zeros[0] > 0 ? "UTF-16BE" : "UTF-16LE";
}

}  // namespace

bool stdin_is_for_us() {
  struct stat status {};
  if (::fstat(STDIN_FILENO, &status) != 0) return false;
  const int flags = ::fcntl(STDIN_FILENO, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY) return false;
  if (S_ISREG(status.st_mode)) return ::lseek(STDIN_FILENO, 0, SEEK_CUR) == 0;
  return S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode);
}

bool stdin_has_text_now() {
  if (!stdin_is_for_us()) return false;
  if (is_regular(STDIN_FILENO)) return bytes_left(STDIN_FILENO).value_or(0) > 0;
  int bytes = 0;
  return ::ioctl(STDIN_FILENO, FIONREAD, &bytes) == 0 && bytes > 0;
}

Result<std::string> read_input(const std::string& path, std::uint64_t max_bytes, Holds holds) {
  if (path == "-") return Reader(STDIN_FILENO, input_name(path), max_bytes, holds).read_all();
  // Without waiting: opening a pipe that nobody writes to would block unheard.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return fail(open_error(path, errno));
  return Reader(file.get(), path, max_bytes, holds).read_all();
}

std::string input_name(const std::string& path) {
  return path == "-" ? "stdin" : path;
}

Result<void> require_text(std::string_view bytes, const std::string& where) {
  if (bytes.starts_with("GGUF"))
    return fail({.code = ErrorCode::validation_failed,
                 .what = "this is a model, not text",
                 .where = where,
                 .expected = "text",
                 .actual = "a GGUF file",
                 .hint = "Name the model with -m FILE, and give the text as well"});
  if (const std::string_view encoding = wide_encoding(bytes); !encoding.empty())
    return fail({.code = ErrorCode::validation_failed,
                 .what = "the text is not in UTF-8",
                 .where = where,
                 .expected = "UTF-8",
                 .actual = std::string(encoding.substr(0, 6)),
                 .hint = fmt::format("iconv -f {} -t UTF-8 converts it", encoding)});
  return {};
}

}  // namespace trine::cli
