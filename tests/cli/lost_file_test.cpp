// A mapped file that becomes shorter while several threads read it.
#include "cli/console.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "cli/subprocess.h"

namespace trine::test {
namespace {

// All of `threads` read the lost page at once.
[[noreturn]] void read_what_is_lost(const std::string& path, int threads) {
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  void* mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED || ::ftruncate(file, 0) != 0) ::_exit(99);
  cli::explain_lost_files();
  const volatile char* bytes = static_cast<const char*>(mapped);
  std::atomic<int> waiting{threads};
  std::vector<std::thread> readers;
  for (int i = 0; i < threads; ++i) {
    readers.emplace_back([&] {
      --waiting;
      while (waiting > 0) std::this_thread::yield();
      if (bytes[0] != 0) ::_exit(98);
    });
  }
  for (std::thread& reader : readers) reader.join();
  ::_exit(97);
}

TEST(LostFile, EveryThreadsFaultEndsInOneMessage) {
  const TemporaryFile copy(std::string(4096, 'x'));
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(::truncate(copy.path().c_str(), 4096), 0);
    int err[2];
    ASSERT_EQ(::pipe2(err, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::dup2(err[1], STDERR_FILENO);
      read_what_is_lost(copy.path(), 8);
    }
    ::close(err[1]);
    std::string text;
    while (detail::drain(err[0], text)) {
    }
    ::close(err[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status) << " in run " << i;
    ASSERT_EQ(WEXITSTATUS(status), static_cast<int>(ErrorCode::io));
    const std::string message = "the model file became shorter";
    const std::size_t at = text.find(message);
    ASSERT_NE(at, std::string::npos) << text;
    ASSERT_EQ(text.find(message, at + 1), std::string::npos) << text;
  }
}

// A SIGBUS that is of no file keeps its meaning.
TEST(LostFile, OtherBusErrorsEndTheProcess) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    cli::explain_lost_files();
    ::raise(SIGBUS);  // not of a file: the handler steps aside
    ::raise(SIGBUS);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGBUS);
}

}  // namespace
}  // namespace trine::test
