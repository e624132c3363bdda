#include "cli/console.h"

#include <fmt/format.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace trine::cli {
namespace {

std::atomic<bool> interrupted{false};
std::atomic<int> interrupting_signal{SIGINT};
std::atomic<bool> file_lost{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "a signal handler may touch lock-free atomics only");

void on_interrupt(int signal) {
  interrupting_signal = signal;
  interrupted = true;
}

// Several threads read the file, so several may come here at once: the first speaks, the others wait for
// its _exit(). Only what signal-safety(7) allows.
void on_bus_error(int, siginfo_t* info, void*) {
  const bool of_a_file = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR;
  if (!of_a_file) {
    ::signal(SIGBUS, SIG_DFL);  // and the fault repeats
    return;
  }
  if (file_lost.exchange(true)) {
    for (;;) ::pause();
  }
  constexpr std::string_view message =
      "trine: error: the model file became shorter while it was read, or its disk failed\n"
      "  hint:     Check the file and its disk, and leave the file alone while it is in use\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message.data(), message.size());
  ::_exit(static_cast<int>(ErrorCode::io));
}

bool colour_on_stderr() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) != 0 && (no_color == nullptr || *no_color == '\0') &&
         !(term != nullptr && std::strcmp(term, "dumb") == 0);
}

void line(std::string_view label, std::string_view colour, std::string_view text) {
  const bool coloured = !label.empty() && colour_on_stderr();
  write_err(fmt::format("trine: {}{}{}{}\n", coloured ? colour : "", label, coloured ? "\033[0m" : "",
                        printable(text)));
}

struct StandardOutput {
  const bool is_terminal = ::isatty(STDOUT_FILENO) != 0;
  TerminalText text;  // what a terminal is shown
};
StandardOutput& standard_output() {
  static StandardOutput only;
  return only;
}

void put(std::string_view bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

}  // namespace

void write_out(std::string_view bytes) {
  if (StandardOutput& out = standard_output(); out.is_terminal) {
    put(out.text.add(bytes));
  } else {
    put(bytes);
  }
}

void write_json(std::string_view json) {
  put(standard_output().is_terminal ? printable_json(json) : std::string(json));
}

bool output_failed() {
  return std::ferror(stdout) != 0;
}

void flush_out() {
  std::fflush(stdout);
}

Result<void> finish_output() {
  put(standard_output().text.finish());
  const bool failed_before = std::ferror(stdout) != 0;
  errno = 0;
  if (std::fflush(stdout) == 0 && !failed_before) return {};
  return fail({.code = ErrorCode::io,
               .what = "cannot write the output",
               .where = "stdout",
               .actual = errno != 0 ? std::strerror(errno) : ""});
}

void note(std::string_view text) {
  line("", "", text);
}

void warn(std::string_view text) {
  line("warning: ", "\033[1;33m", text);
}

void print_error(const Error& error) {
  line("error: ", "\033[1;31m", error.what);
  const auto detail = [](std::string_view name, const std::string& text) {
    if (!text.empty()) write_err(fmt::format("  {:<10}{}\n", name, printable(text)));
  };
  detail("where:", error.where);
  detail("expected:", error.expected);
  detail("actual:", error.actual);
  detail("hint:", error.hint);
}

bool stdin_is_terminal() {
  return ::isatty(STDIN_FILENO) != 0;
}

std::atomic<bool>& watch_interrupt() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // nohup(1) starts programs with SIGHUP ignored.
  struct sigaction before {};
  if (::sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
    ::sigaction(SIGHUP, &action, nullptr);
  }
  return interrupted;
}

int interrupted_status() {
  return 128 + interrupting_signal;
}

void explain_lost_files() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;  // not SA_RESETHAND: a second thread's fault would end the process unheard
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace trine::cli
