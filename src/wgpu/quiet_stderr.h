#pragma once

#include <string>

namespace trine::wgpu {

// While it lives, what the process writes to stderr is kept in memory instead. For the moments when drivers,
// which know no other way, write there; another thread's message in such a moment is kept too.
class QuietStderr {
 public:
  QuietStderr();
  ~QuietStderr();
  QuietStderr(const QuietStderr&) = delete;
  QuietStderr& operator=(const QuietStderr&) = delete;

  std::string text() const;  // what was written so far, on one line
  static int real();         // the process's stderr, also while one of these lives

 private:
  int memory_ = -1;
  int stderr_ = -1;  // a duplicate of the real one
};

}  // namespace trine::wgpu
