#include "base/file.h"

#include "base/descriptor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace trine {

Error open_error(const std::string& path, int code) {
  Error error{.code = ErrorCode::file_not_found,
              .what = "cannot open file",
              .where = path,
              .actual = std::strerror(code)};
  if (code == ENOENT) {
    error.what = "file not found";
    error.actual.clear();
    error.hint = "Check the path";
  }
  return error;
}

Result<MappedFile> MappedFile::open(const std::string& path) {
  // Without waiting: opening a pipe that nobody writes would block.
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.get() < 0) return fail(open_error(path, errno));
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) return fail(open_error(path, errno));
  if (!S_ISREG(status.st_mode)) {
    return fail({.code = ErrorCode::file_not_found,
                 .what = "cannot read file",
                 .where = path,
                 .expected = "a regular file",
                 .actual = S_ISDIR(status.st_mode) ? "a directory" : "a device or pipe"});
  }
  MappedFile file;
  file.size_ = static_cast<std::size_t>(status.st_size);
  if (file.size_ == 0) return file;  // mmap refuses an empty mapping
  void* address = ::mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, descriptor.get(), 0);
  if (address == MAP_FAILED) {
    return fail({.code = errno == ENOMEM ? ErrorCode::model_load : ErrorCode::io,
                 .what = "cannot map file into memory",
                 .where = path,
                 .actual = std::strerror(errno)});
  }
  file.data_ = static_cast<const std::byte*>(address);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

Result<std::string> read_all(int descriptor, std::string_view name, std::uint64_t max_bytes) {
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(descriptor, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EISDIR) {
        return fail({.code = ErrorCode::file_not_found,
                     .what = "cannot read file",
                     .where = std::string(name),
                     .expected = "a file",
                     .actual = "a directory"});
      }
      return fail({.code = ErrorCode::io,
                   .what = "cannot read",
                   .where = std::string(name),
                   .actual = std::strerror(errno)});
    }
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > max_bytes) {
      return fail({.code = ErrorCode::validation_failed,
                   .what = "input is too large",
                   .where = std::string(name),
                   .expected = fmt::format("at most {} bytes", max_bytes),
                   .actual = "more"});
    }
  }
}

Result<std::string> read_file(const std::string& path, std::uint64_t max_bytes) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) return fail(open_error(path, errno));
  return read_all(descriptor.get(), path, max_bytes);
}

std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> serial{0};
  const std::string end = fmt::format(".{}-{}.part", ::getpid(), serial++);
  const std::size_t slash = path.rfind('/');
  const std::size_t name = slash == std::string::npos ? 0 : slash + 1;
  // The shortest limit that is met on a name, of encrypted folders, is 143 bytes.
  constexpr std::size_t most_kept = 100;
  return path.substr(0, name + std::min(path.size() - name, most_kept)) + end;
}

namespace {

constexpr std::size_t most_links = 40;

}  // namespace

std::vector<std::string> link_steps(const std::string& path) {
  std::vector<std::string> steps{path};
  std::error_code problem;
  while (steps.size() <= most_links) {
    const std::filesystem::path here = steps.back();
    const std::filesystem::path next = std::filesystem::read_symlink(here, problem);
    if (problem) break;
    steps.push_back((here.parent_path() / next).string());  // an absolute one replaces what is before it
  }
  return steps;
}

std::string link_target(const std::string& path) {
  // A chain that is too long, or closed, fails where the file is opened.
  const std::vector<std::string> steps = link_steps(path);
  return steps.size() > most_links ? path : steps.back();
}

namespace {

// rename(2), but fails with EEXIST where that would replace a file. False on failure, with errno set.
bool rename_to_free_name(const char* from, const char* to) {
  if (::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  // A file system that cannot do it in one step.
  if (::link(from, to) == 0) {
    ::unlink(from);
    return true;
  }
  if (errno == EEXIST) return false;
  // Nor has it links, as on a memory card: nothing better is left than to look first.
  if (::access(to, F_OK) == 0) {
    errno = EEXIST;
    return false;
  }
  return ::rename(from, to) == 0;
}

// A new name survives a power cut only when its directory is on disk too. The file is whole either way.
void sync_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() >= 0) ::fsync(descriptor.get());
}

}  // namespace

tl::unexpected<Error> system_error(std::string what, const std::string& where) {
  const int code = errno;
  return fail({.code = code == ENOENT || code == ENOTDIR ? ErrorCode::file_not_found : ErrorCode::io,
               .what = std::move(what),
               .where = where,
               .actual = std::strerror(code)});
}

Result<void> put_in_place(const std::string& temporary, const std::string& path,
                          const std::function<Result<void>()>& may_replace) {
  bool placed = rename_to_free_name(temporary.c_str(), path.c_str());
  if (!placed && errno == EEXIST) {
    TRINE_CHECK_OK(may_replace());
    placed = ::rename(temporary.c_str(), path.c_str()) == 0;
  }
  if (placed) {
    sync_folder_of(path);
    return {};
  }
  return system_error("cannot give the finished file its name", path);
}

}  // namespace trine
