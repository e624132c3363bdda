#include "cli/console.h"
#include "cli/program.h"

#include <fcntl.h>
#include <csignal>

int main(int argc, char** argv) {
  // A standard stream that the parent closed would give its number to the next file opened, and a note on
  // stderr would then overwrite a model. Read-only, so that writing to it still fails.
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDONLY) < 0) return 1;
  }
  trine::cli::explain_lost_files();
  // A file-size limit comes back as a failed write with its own message.
  std::signal(SIGXFSZ, SIG_IGN);
  // Also when a parent left it ignored: `trine … | head` ends quietly with the pipe.
  std::signal(SIGPIPE, SIG_DFL);
  return trine::cli::run_program(argc, argv);
}
