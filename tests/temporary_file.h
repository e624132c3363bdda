#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace trine::test {

inline std::string file_bytes(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// `bytes` with the first `from` replaced by `to`, of the same length.
inline std::string patched(std::string bytes, const std::string& from, const std::string& to) {
  const std::size_t at = bytes.find(from);
  if (at == std::string::npos || from.size() != to.size()) throw std::runtime_error("cannot patch " + from);
  return bytes.replace(at, from.size(), to);
}

// A file that lives as long as this object; its name ends in `suffix`.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& bytes, const std::string& suffix = "")
      : name_(testing::TempDir() + "trine-test-XXXXXX" + suffix) {
    const int descriptor = ::mkstemps(name_.data(), static_cast<int>(suffix.size()));
    if (descriptor < 0) throw std::runtime_error("no temporary file");
    ::close(descriptor);
    std::ofstream(name_, std::ios::binary) << bytes;
  }
  ~TemporaryFile() { ::unlink(name_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return name_; }

 private:
  std::string name_;
};

}  // namespace trine::test
