#include "cli/progress.h"
#include "cli/subprocess.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace trine::cli {
namespace {

class SynthCommand : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  std::size_t files() const { return folder_.files(); }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(SynthCommand, SignalsThatEndItLeaveNothing) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::signal(SIGHUP, SIG_DFL);  // a test run under nohup ignores it
      ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
      test::detail::exec_trine(
          {{"synth", path("big.gguf"), "--preset", "mini", "--layers", "400", "--threads", "1"},
           {},
           {},
           SIZE_MAX,
           SIZE_MAX});
    }
    // The handler is in place before the file is there.
    int status = 0;
    while (files() == 0 && ::waitpid(child, &status, WNOHANG) == 0) ::usleep(500);
    ::kill(child, signal);
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status)) << signal;
    EXPECT_EQ(WEXITSTATUS(status), 128 + signal);
    EXPECT_EQ(files(), 0u);
  }
}

TEST(Progress, LineSaysShareRateAndTimeLeft) {
  constexpr std::uint64_t gib = 1ull << 30;
  EXPECT_EQ(progress_line("writing", 4 * gib, 16 * gib, 16, Progress::Style::bar),
            "writing [####............]  25%  4.00 GiB of 16.00 GiB  256.00 MiB/s  48 s left");
  EXPECT_EQ(progress_line("writing", 4 * gib, 16 * gib, 160, Progress::Style::lines),
            "writing  25%  4.00 GiB of 16.00 GiB  25.60 MiB/s  8 min 00 s left");
  EXPECT_EQ(progress_line("writing", 0, gib, 0, Progress::Style::lines), "writing   0%  0 B of 1.00 GiB");
  EXPECT_EQ(progress_line("writing", gib - 1, gib, 1, Progress::Style::lines).substr(0, 12), "writing  99%");
  EXPECT_EQ(progress_line("writing", gib, gib, 2, Progress::Style::lines),
            "writing 100%  1.00 GiB of 1.00 GiB  512.00 MiB/s");
}

TEST_F(SynthCommand, TheCommandWritesRefusesToOverwriteAndRuns) {
  const std::string out = path("mini.gguf");
  const test::Outcome first = test::run_trine(std::vector<std::string>{"synth", out, "--preset", "mini"});
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(first.err, "");  // no progress is worth showing
  EXPECT_NE(first.out.find("7.96 MiB, 4 layers"), std::string::npos) << first.out;

  const test::Outcome second = test::run_trine(std::vector<std::string>{"synth", out, "--preset", "mini"});
  EXPECT_EQ(second.status, 2);
  EXPECT_NE(second.err.find("--force"), std::string::npos) << second.err;
  const test::Outcome forced =
      test::run_trine(std::vector<std::string>{"synth", out, "--preset", "mini", "--force", "--layers", "2"});
  EXPECT_EQ(forced.status, 0) << forced.err;
  EXPECT_NE(forced.out.find("2 layers"), std::string::npos) << forced.out;

  const auto expect_status = [&](std::vector<std::string> arguments, int status, const std::string& message) {
    arguments.insert(arguments.begin(), "synth");
    const test::Outcome outcome = test::run_trine(arguments);
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  };
  expect_status({path(""), "--preset", "mini"}, 2, "a directory");
  expect_status({path("no/such.gguf"), "--preset", "mini"}, 3, "folder");
  expect_status({path("b.gguf")}, 2, "--preset");
  expect_status({path("b.gguf"), "--preset", "maxi"}, 2, "mini");
  expect_status({path("b.gguf"), "--preset", "mini", "--seed", "-1"}, 2, "18446744073709551615");
  expect_status({path("b.gguf"), "--preset", "mini", "--vocab", path("none.gguf")}, 3, "none.gguf");
  EXPECT_EQ(files(), 1u);
}

}  // namespace
}  // namespace trine::cli
