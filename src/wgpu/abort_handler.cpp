#include "wgpu/abort_handler.h"

#include "base/error.h"
#include "wgpu/library.h"
#include "wgpu/quiet_stderr.h"

#include <unistd.h>
#include <csignal>
#include <string_view>

namespace trine::wgpu {
namespace {

extern "C" void on_abort(int signal) {
  if (InLibrary::depth == 0) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  constexpr std::string_view text =
      "trine: error: the WebGPU library gave up; its own message stands above\n";
  [[maybe_unused]] const ssize_t written = ::write(QuietStderr::real(), text.data(), text.size());
  ::_exit(static_cast<int>(ErrorCode::inference));
}

}  // namespace

void install_abort_handler() {
  std::signal(SIGABRT, on_abort);
}

}  // namespace trine::wgpu
