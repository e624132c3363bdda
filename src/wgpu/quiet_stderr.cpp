#include "wgpu/quiet_stderr.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cstdio>

namespace trine::wgpu {
namespace {

std::atomic<int> real_stderr = STDERR_FILENO;

}  // namespace

int QuietStderr::real() {
  return real_stderr;
}

QuietStderr::QuietStderr() {
  std::fflush(stderr);
  memory_ = ::memfd_create("trine-stderr", MFD_CLOEXEC);
  stderr_ = memory_ < 0 ? -1 : ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  if (stderr_ < 0) return;
  ::dup2(memory_, STDERR_FILENO);
  real_stderr = stderr_;
}

QuietStderr::~QuietStderr() {
  std::fflush(stderr);
  if (stderr_ >= 0) {
    ::dup2(stderr_, STDERR_FILENO);
    real_stderr = STDERR_FILENO;
    ::close(stderr_);
  }
  if (memory_ >= 0) ::close(memory_);
}

std::string QuietStderr::text() const {
  constexpr std::size_t enough = 400;
  char buffer[enough];
  const ssize_t n = memory_ < 0 ? 0 : ::pread(memory_, buffer, sizeof buffer, 0);
  std::string text(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ';');
  return text;
}

}  // namespace trine::wgpu
