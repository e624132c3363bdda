#pragma once

#include "cli/subprocess.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// trine run with what a test wants on its stdin, and the prompt that it makes of that.

namespace trine::test {

// The prompt as --verbose shows it, its lines joined.
inline std::string prompt_in(const Outcome& outcome) {
  std::string prompt;
  bool first = true;
  std::size_t at = outcome.err.find("the prompt as the model gets it:\n");
  if (at == std::string::npos) return "none: " + outcome.err;
  at = outcome.err.find('\n', at) + 1;
  while (outcome.err.compare(at, 4, "  | ") == 0) {
    const std::size_t end = outcome.err.find('\n', at);
    prompt += (first ? "" : "\n") + outcome.err.substr(at + 4, end - at - 4);
    first = false;
    at = end + 1;
  }
  return prompt;
}

inline std::string chat(const std::string& message) {
  return "<|im_start|>user\n" + message + "<|im_end|>\n<|im_start|>assistant\n";
}

// Runs with `descriptor` for stdin; -1: closed.
inline Outcome run_with_stdin(int descriptor, std::vector<std::string> arguments) {
  Spawn spawn;
  spawn.arguments = {"run", "-m", demo, "--verbose", "-n", "1", "--temperature", "0"};
  spawn.arguments.insert(spawn.arguments.end(), arguments.begin(), arguments.end());
  spawn.before_exec = [descriptor] {
    if (descriptor < 0) {
      ::close(STDIN_FILENO);
    } else {
      ::dup2(descriptor, STDIN_FILENO);
    }
  };
  return run_trine(spawn);
}

// A pipe that holds `text`, and has come to its end unless it is kept open.
class Pipe {
 public:
  explicit Pipe(const std::string& text) {
    if (::pipe2(ends_, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    write(text);
  }
  ~Pipe() {
    close();
    ::close(ends_[0]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int reading_end() const { return ends_[0]; }
  void write(const std::string& text) const {
    if (::write(ends_[1], text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      throw std::runtime_error("cannot write into the pipe");
  }
  void close() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  int ends_[2] = {-1, -1};
};

inline Outcome run_with_pipe(const std::string& text, std::vector<std::string> arguments) {
  Pipe pipe(text);
  pipe.close();
  return run_with_stdin(pipe.reading_end(), std::move(arguments));
}

inline Outcome run_with_file(const std::string& path, std::vector<std::string> arguments) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const Outcome outcome = run_with_stdin(file, std::move(arguments));
  ::close(file);
  return outcome;
}

}  // namespace trine::test
