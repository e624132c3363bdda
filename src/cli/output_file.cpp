#include "cli/output_file.h"

#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace trine::cli {
namespace {

namespace fs = std::filesystem;

// By their place on disk where both exist, else by the paths that links lead to.
bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code problem;
  if (fs::equivalent(a, b, problem) && !problem) return true;
  const auto place = [&](const std::string& path) {
    return fs::weakly_canonical(fs::absolute(link_target(path), problem), problem);
  };
  const fs::path left = place(a);
  return !problem && left == place(b);
}

Result<void> check_folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
  return system_error("cannot write into this folder", folder);
}

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(descriptor) == 0;
}

// A name that is too long to be one says no more when it is shown whole.
std::string shortened(const std::string& path) {
  constexpr std::size_t most = 80;
  return path.size() <= most ? path : path.substr(0, most) + "…";
}

}  // namespace

Result<void> check_replaced(const OutputFile& output) {
  struct stat status {};
  if (::stat(output.path.c_str(), &status) != 0) {
    if (errno != ENAMETOOLONG) return {};
    return fail({.code = ErrorCode::usage,
                 .what = fmt::format("cannot write the {} here", output.kind),
                 .where = shortened(output.path),
                 .expected = "a shorter name",
                 .actual = fmt::format("{} bytes", output.path.size())});
  }
  if (!S_ISREG(status.st_mode))
    return fail({.code = ErrorCode::usage,
                 .what = fmt::format("cannot write the {} here", output.kind),
                 .where = output.path,
                 .expected = "the name of a file",
                 .actual = S_ISDIR(status.st_mode) ? "a directory" : "a device or pipe"});
  if (status.st_size > 0 && !output.is_its_kind(output.path))
    return fail(
        {.code = ErrorCode::usage,
         .what = fmt::format("the file exists and is no {}", output.kind),
         .where = output.path,
         .hint = fmt::format("A {} is replaced, other files are not: name another one", output.kind)});
  if (::access(output.path.c_str(), W_OK) != 0) return system_error("cannot write the file", output.path);
  return {};
}

Result<void> check_outputs(std::span<const OutputFile> outputs, std::span<const std::string> inputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto refuse = [&](std::string what) {
      return fail({.code = ErrorCode::usage, .what = std::move(what), .where = outputs[i].path});
    };
    TRINE_CHECK_OK(check_replaced(outputs[i]));
    for (const std::string& input : inputs)
      if (is_same_file(outputs[i].path, input))
        return refuse(fmt::format("{} names a file that this command reads", outputs[i].option));
    for (std::size_t j = 0; j < i; ++j)
      if (is_same_file(outputs[i].path, outputs[j].path))
        return refuse(fmt::format("{} and {} name one file", outputs[j].option, outputs[i].option));
    TRINE_CHECK_OK(check_folder(link_target(outputs[i].path)));
  }
  return {};
}

Result<void> write_output(const OutputFile& output, std::string_view text) {
  const std::string path = link_target(output.path);
  std::string temporary;
  int descriptor = -1;
  do {
    temporary = temporary_name(path);
    descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EEXIST);
  if (descriptor < 0) return system_error("cannot create the file", output.path);
  const bool written = write_all(descriptor, text);
  const int code = errno;
  const bool closed = ::close(descriptor) == 0;
  if (!written) errno = code;
  Result<void> done = written && closed
                          ? put_in_place(temporary, path, [&] { return check_replaced(output); })
                          : system_error("cannot write the file", output.path);
  if (!done) ::unlink(temporary.c_str());
  return done;
}

}  // namespace trine::cli
