#pragma once

#include "base/error.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine {

// A whole file mapped read-only. Pages come from the page cache on first touch, so a 17 GiB model costs no
// private memory. Moves keep the mapping at the same address.
class MappedFile {
 public:
  // Errors: file_not_found (absent, a directory, not readable), io (mmap failed).
  static Result<MappedFile> open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// The whole file as a string, bytes untouched. `max_bytes` bounds what a mistaken path can cost.
Result<std::string> read_file(const std::string& path, std::uint64_t max_bytes = 1ull << 30);

// Everything readable from a descriptor until its end (stdin: 0). Errors: io, or validation_failed past
// max_bytes.
Result<std::string> read_all(int descriptor, std::string_view name, std::uint64_t max_bytes = 1ull << 30);

// `path`, and where it is a symbolic link what that names, link by link, the last being no link or not there.
// As many as Linux follows, so that a chain which is longer, or closed, ends somewhere in it.
std::vector<std::string> link_steps(const std::string& path);

// The file that `path` leads to when it is a symbolic link, whether or not that exists; else `path`. A result
// is written there: replacing the link by a file would leave what it points to as it was.
std::string link_target(const std::string& path);

// A name beside `path` to write it under until it is whole: its own, a number of this process, and ".part".
// A long name is cut, so that whatever may be a name has room for this one.
std::string temporary_name(const std::string& path);

// Why open(2) refused `path`, by the errno that it left. Code: file_not_found.
Error open_error(const std::string& path, int code);

// What the system refused just now, by errno. Code: file_not_found where a folder of the path is missing,
// else io.
tl::unexpected<Error> system_error(std::string what, const std::string& where);

// Gives a finished file its name. Where that is taken by then, `may_replace` is asked first; its error is
// returned and leaves both files. Nothing that appears meanwhile is replaced unasked. The name is on disk
// when this returns. Errors: file_not_found (no folder any more), io.
Result<void> put_in_place(const std::string& temporary, const std::string& path,
                          const std::function<Result<void>()>& may_replace);

}  // namespace trine
