#pragma once

#include "temporary_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace trine::test {

struct Outcome {
  int status = 0;  // exit status, or 128 + the signal that ended it, as shells say it
  std::string out;
  std::string err;
};

struct Spawn {
  std::vector<std::string> arguments;
  std::string input;  // stdin, then its end
  std::map<std::string, std::string>
      environment;  // on top of ours; TRINE_MODELS is the source tree's models/
  std::size_t close_output_after =
      SIZE_MAX;                            // like `head -c`: our end of stdout is closed after so many bytes
  std::size_t interrupt_after = SIZE_MAX;  // sends SIGINT once stdout has brought so many bytes
  std::function<void()> instead_of_interrupt = {};  // is called then, when it is set
  std::string program = TRINE_BINARY;
  std::function<void()> before_exec = {};  // in the child, to put other things in place of its streams
};

namespace detail {

[[noreturn]] inline void exec_trine(const Spawn& spawn) {
  ::setenv("TRINE_MODELS", TRINE_SOURCE_DIR "/models", 1);
  for (const auto& [name, value] : spawn.environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::string binary = spawn.program;
  std::vector<std::string> arguments = spawn.arguments;
  std::vector<char*> argv = {binary.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(binary.c_str(), argv.data());
  ::_exit(127);
}

// Reads what is there; false at the end of the stream.
inline bool drain(int descriptor, std::string& into) {
  char buffer[1 << 14];
  const ssize_t n = ::read(descriptor, buffer, sizeof buffer);
  if (n > 0) into.append(buffer, static_cast<std::size_t>(n));
  return n > 0;
}

}  // namespace detail

// Runs the trine binary without a shell and waits for its end.
inline Outcome run_trine(const Spawn& spawn) {
  // Stdin is a file, so that no amount of input can block both sides.
  char input_name[] = "/tmp/trine-cli-test-XXXXXX";
  const int input = ::mkstemp(input_name);
  ::unlink(input_name);
  int out[2];
  int err[2];
  if (input < 0 || ::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0)
    throw std::runtime_error("no pipe");
  if (::write(input, spawn.input.data(), spawn.input.size()) != static_cast<ssize_t>(spawn.input.size())) {
    throw std::runtime_error("cannot write the input");
  }
  ::lseek(input, 0, SEEK_SET);

  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    ::dup2(input, STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    if (spawn.before_exec) spawn.before_exec();
    detail::exec_trine(spawn);
  }
  ::close(input);
  ::close(out[1]);
  ::close(err[1]);

  Outcome outcome;
  pollfd ends[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  bool interrupted = false;
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    ::poll(ends, 2, -1);
    if (ends[0].fd >= 0 && ends[0].revents != 0) {
      const bool more = detail::drain(out[0], outcome.out);
      if (!interrupted && outcome.out.size() >= spawn.interrupt_after) {
        interrupted = true;
        if (spawn.instead_of_interrupt) {
          spawn.instead_of_interrupt();
        } else {
          ::kill(child, SIGINT);
        }
      }
      if (!more || outcome.out.size() >= spawn.close_output_after) {
        ::close(out[0]);
        ends[0].fd = -1;
      }
    }
    if (ends[1].fd >= 0 && ends[1].revents != 0 && !detail::drain(err[0], outcome.err)) {
      ::close(err[0]);
      ends[1].fd = -1;
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return outcome;
}

inline Outcome run_trine(std::vector<std::string> arguments, std::string input = {}) {
  Spawn spawn;
  spawn.arguments = std::move(arguments);
  spawn.input = std::move(input);
  return run_trine(spawn);
}

inline std::string model_path(const std::string& name) {
  return std::string(TRINE_SOURCE_DIR "/models/") + name;
}
inline const std::string demo = model_path("demo-coder-Q4_K_M.gguf");
inline const std::string tiny = model_path("tiny/tiny-Q4_K.gguf");
inline const std::string tied = model_path("tiny/tied-Q4_K_M.gguf");

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace trine::test
