// Where prompts come from, and what becomes of them on the way to the model.
#include "cli/prompt.h"
#include "cli/input.h"
#include "cli/prompt_run.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <chrono>
#include <filesystem>
#include <thread>

namespace trine::test {
namespace {

using cli::PromptParts;
using cli::TextSource;
using namespace std::string_literals;

// ---- In this process ----

// Whatever stdin the tests were started with.
Result<PromptParts> prompt_of(const TextSource& source, bool any_space) {
  static const int nothing = ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
  EXPECT_EQ(nothing, STDIN_FILENO);
  return cli::read_prompt(source, any_space);
}

struct Rule {
  std::string bytes;
  std::string message;  // of a chat request
  std::string raw;      // as text to be continued
};
const Rule rules[] = {
    {"hi", "hi", "hi"},
    {"hi\n", "hi", "hi\n"},
    {"hi\n\n", "hi\n", "hi\n\n"},
    {"hi\r\n", "hi", "hi\r\n"},
    {"\xEF\xBB\xBFhi\n", "hi", "hi\n"},
    {"\xEF\xBB\xBF"
     "a\r\nb\r\n",
     "a\nb", "a\r\nb\r\n"},
    {"a\r\n\r\nb", "a\n\nb", "a\r\n\r\nb"},
    {"a\rb\n", "a\rb", "a\rb\n"},  // an old Mac's, or a progress bar's
    {"a\r\r\nb", "a\r\nb", "a\r\r\nb"},
    {"a\r", "a\r", "a\r"},
    {"a \xEF\xBB\xBF b", "a \xEF\xBB\xBF b", "a \xEF\xBB\xBF b"},  // in the middle it is text
    {"\xEF\xBB\xBF\xEF\xBB\xBFx", "\xEF\xBB\xBFx", "\xEF\xBB\xBFx"},
    {"  indented\n", "  indented", "  indented\n"},
    {"a\0b"s, "a\0b"s, "a\0b"s},
    {"\xFF latin \xE9\n", "\xFF latin \xE9", "\xFF latin \xE9\n"},
    {"\xE4\xBD\xA0\xE5\xA5\xBD\r\n", "\xE4\xBD\xA0\xE5\xA5\xBD", "\xE4\xBD\xA0\xE5\xA5\xBD\r\n"},
};

TEST(Prompt, OneRuleForFilesAndArguments) {
  for (const Rule& rule : rules) {
    const TemporaryFile file(rule.bytes);
    for (const TextSource& source : {TextSource{{}, {}, file.path()}, TextSource{{}, rule.bytes, {}}}) {
      const auto prompt = prompt_of(source, false);
      ASSERT_TRUE(prompt) << to_string(prompt.error());
      EXPECT_EQ(cli::as_message(*prompt), rule.message);
      EXPECT_EQ(cli::as_raw_text(*prompt), rule.raw);
    }
  }
}

TEST(Prompt, PartsStandInTheirOrder) {
  const TemporaryFile file(
      "\xEF\xBB\xBF"
      "def f():\r\n");
  const auto prompt = prompt_of({{},
                                 "\xEF\xBB\xBF"
                                 "Explain this.\n",
                                 file.path()},
                                false);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(cli::as_message(*prompt), "def f():\n\nExplain this.");
  EXPECT_EQ(cli::as_raw_text(*prompt), "def f():\r\nExplain this.\n");
}

TEST(Prompt, WhiteSpaceAloneIsNone) {
  for (const std::string& blank : {" "s, "\n"s, " \t\r\n\v\f"s, "\xEF\xBB\xBF"s, "\xEF\xBB\xBF\n"s,
                                   "\xC2\xA0"s, "\xE3\x80\x80\n"s, "\xE2\x80\xA8 \xE2\x80\x83"s, ""s}) {
    const TemporaryFile file(blank);
    for (const TextSource& source :
         {TextSource{{}, {}, file.path()}, TextSource{{}, blank, {}}, TextSource{{}, "text", file.path()}}) {
      const auto prompt = prompt_of(source, false);
      ASSERT_FALSE(prompt);
      EXPECT_EQ(prompt.error().code, ErrorCode::usage);
      EXPECT_EQ(prompt.error().what, "the prompt is empty");
    }
    const bool is_some = blank.find_first_not_of("\xEF\xBB\xBF") != blank.npos;
    EXPECT_EQ(prompt_of({{}, blank, {}}, true).has_value(), is_some);
  }
  EXPECT_TRUE(prompt_of({{}, "\xC2\xA0x", {}}, false));
  EXPECT_TRUE(prompt_of({{}, "\xE3\x80\x81", {}}, false));  // a comma
}

// What is no UTF-8 and not known for what it is reaches the model, and that is said.
TEST(Prompt, OtherBytesThanUtf8AreWarnedOf) {
  struct Case {
    std::string bytes;
    std::size_t offset;
    std::string byte;
  };
  const Case cases[] = {{"\x11\x62\xEC\x4E", 2, "0xEC"},    // Chinese in UTF-16LE, in which no byte is zero
                        {"a \xD6\xD0\xCE\xC4", 2, "0xD6"},  // in GBK
                        {"caf\xE9\n", 3, "0xE9"},
                        {"\xEF\xBB\xBF"
                         "a\xFF",
                         4, "0xFF"},  // the mark counts
                        {"\xE4\xBD", 0, "0xE4"}};
  for (const auto& [bytes, offset, byte] : cases) {
    const TemporaryFile file(bytes);
    for (const auto& [source, origin] : {std::pair(TextSource{{}, {}, file.path()}, file.path()),
                                         {TextSource{{}, bytes, {}}, "the argument"s}}) {
      const auto prompt = prompt_of(source, false);
      ASSERT_TRUE(prompt) << to_string(prompt.error());
      ASSERT_EQ(prompt->warnings.size(), 1u) << bytes;
      const std::string& warning = prompt->warnings[0];
      EXPECT_TRUE(warning.starts_with(origin + " is not valid UTF-8: the byte at offset " +
                                      std::to_string(offset) + " is " + byte))
          << warning;
      EXPECT_NE(warning.find("iconv -f UTF-16LE -t UTF-8"), std::string::npos) << warning;
    }
  }
  for (const std::string& text : {"hi"s, "\xEF\xBB\xBFhi"s, "\xE4\xBD\xA0\xE5\xA5\xBD"s, "a\0b"s})
    EXPECT_TRUE(prompt_of({{}, text, {}}, false)->warnings.empty()) << text;
}

std::string wide(std::string_view text, bool big_endian) {
  std::string out;
  for (const char c : text) out += big_endian ? std::string{'\0', c} : std::string{c, '\0'};
  return out;
}

TEST(Prompt, OtherEncodingsAndModelsAreKnown) {
  const std::string code = "int main() {\r\n  return 0;\r\n}\r\n";
  const std::pair<std::string, std::string> refused[] = {
      {"\xFF\xFE" + wide(code, false), "iconv -f UTF-16 -t UTF-8"},
      {"\xFE\xFF" + wide(code, true), "iconv -f UTF-16 -t UTF-8"},
      {wide(code, false), "iconv -f UTF-16LE -t UTF-8"},
      {wide(code, true), "iconv -f UTF-16BE -t UTF-8"},
      {wide("hi", false), "UTF-16LE"},
      {wide("hi\n", true), "UTF-16BE"},
      {"\xFF\xFE\0\0a\0\0\0"s, "iconv -f UTF-32 -t UTF-8"},
      {"\0\0\xFE\xFF\0\0\0a"s, "UTF-32"},
      {wide("x = \"", false) + "\x60\x4f\x7d\x59" + wide("\"\n", false), "UTF-16LE"},  // some Chinese in it
      {"GGUF\3\0\0\0"s, "Name the model with -m"},
      {file_bytes(tiny), "Name the model with -m"}};
  for (const auto& [bytes, hint] : refused) {
    const auto result = cli::require_text(bytes, "here");
    ASSERT_FALSE(result) << hint;
    EXPECT_EQ(result.error().code, ErrorCode::validation_failed);
    EXPECT_NE(result.error().hint.find(hint), std::string::npos) << result.error().hint;
    const TemporaryFile file(bytes);
    EXPECT_FALSE(prompt_of({{}, {}, file.path()}, true));
    EXPECT_FALSE(prompt_of({{}, "text", file.path()}, false));
  }
  for (const std::string& taken : {""s, "a"s, "a\0"s, "a\0b"s, "\0\0\0\0"s, "name\0other\0third\0"s, "\xFF"s,
                                   "GGU"s, "the GGUF format"s}) {
    EXPECT_TRUE(cli::require_text(taken, "here")) << taken;
  }
}

TEST(Prompt, LargeFilesAreRefusedByTheirSize) {
  const TemporaryFile file("text");
  ASSERT_EQ(::truncate(file.path().c_str(), off_t{1} << 40), 0);
  const auto prompt = prompt_of({{}, {}, file.path()}, false);
  ASSERT_FALSE(prompt);
  EXPECT_EQ(prompt.error().code, ErrorCode::validation_failed);
  EXPECT_EQ(prompt.error().expected, "at most 16777216 bytes");
  EXPECT_EQ(prompt.error().actual, "1099511627776 bytes");
}

// ---- Through the program ----

#ifdef TRINE_HAS_CPU

TEST(Prompt, AFileAndStdinGiveTheSame) {
  const std::pair<std::string, std::string> cases[] = {
      {"\xEF\xBB\xBFWrite a haiku.\n", "Write a haiku."},
      {"Write a haiku.\n", "Write a haiku."},
      {"Line one.\r\nLine two.\r\n", "Line one.\nLine two."}};
  for (const auto& [bytes, message] : cases) {
    const TemporaryFile file(bytes);
    EXPECT_EQ(prompt_in(run_with_stdin(-1, {"--file", file.path()})), chat(message));
    EXPECT_EQ(prompt_in(run_with_file(file.path(), {})), chat(message));
    EXPECT_EQ(prompt_in(run_with_file(file.path(), {"-"})), chat(message));
    EXPECT_EQ(prompt_in(run_with_pipe(bytes, {})), chat(message));
    EXPECT_EQ(prompt_in(run_with_pipe(bytes, {"--file", "-"})), chat(message));
    EXPECT_EQ(prompt_in(run_with_pipe(bytes, {"--file", "/dev/stdin"})), chat(message));
  }
}

TEST(Prompt, StdinStandsBeforeTheArgument) {
  const TemporaryFile file("int x;\n");
  EXPECT_EQ(prompt_in(run_with_pipe("int x;\n", {"Explain this."})), chat("int x;\n\nExplain this."));
  EXPECT_EQ(prompt_in(run_with_file(file.path(), {"Explain this."})), chat("int x;\n\nExplain this."));
  EXPECT_EQ(prompt_in(run_with_pipe("int x;\n", {"Explain this.", "-"})), chat("int x;\n\nExplain this."));
  EXPECT_EQ(prompt_in(run_with_pipe("int x;", {"--raw", " int y;"})), "int x; int y;");
  EXPECT_EQ(prompt_in(run_with_pipe("a\n", {"--file", file.path(), "-"})), chat("a\n\nint x;"));
  EXPECT_EQ(prompt_in(run_with_pipe("a\n", {"--file", file.path(), "-", "b"})), chat("a\n\nint x;\n\nb"));
  // What a user may not expect is said, unless there is nothing to say.
  EXPECT_NE(run_with_pipe("a\n", {"b"}).err.find("2 bytes from stdin, then the argument"), std::string::npos);
  EXPECT_NE(
      run_with_pipe("a\n", {"--file", file.path()}).err.find("not read beside --file; '-' as an argument"),
      std::string::npos);
  EXPECT_EQ(run_with_pipe("", {"b"}).err.find("stdin"), std::string::npos);
}

// Where white space is text it is text on stdin too; nothing is still nothing.
TEST(Prompt, WhiteSpaceOnStdinBesideRawText) {
  EXPECT_EQ(prompt_in(run_with_pipe("  \n", {"--raw", "x"})), "  \nx");
  EXPECT_EQ(prompt_in(run_with_pipe("", {"--raw", "x"})), "x");
  EXPECT_EQ(prompt_in(run_with_pipe("\xEF\xBB\xBF", {"--raw", "x"})), "x");
  EXPECT_EQ(prompt_in(run_with_pipe("  \n", {"x"})), chat("x"));
  EXPECT_EQ(run_with_pipe("  \n", {"-", "x"}).status, 2);  // asked for
}

TEST(Prompt, OtherBytesThanUtf8OnStdinAreWarnedOfAlsoQuietly) {
  const Outcome outcome = run_trine({"run", "-m", demo, "-q", "-n", "1"}, "\xC4\xE3\n");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: stdin is not valid UTF-8: the byte at offset 0 is 0xC4"),
            std::string::npos)
      << outcome.err;
}

TEST(Prompt, AnArgumentAloneNeedsNoStdin) {
  EXPECT_EQ(prompt_in(run_with_stdin(-1, {"hi"})), chat("hi"));
  EXPECT_EQ(prompt_in(run_with_pipe("", {"hi"})), chat("hi"));
  EXPECT_EQ(prompt_in(run_with_pipe("\n", {"hi"})), chat("hi"));
  for (const char* path : {"/dev/null", "/dev/zero", "/tmp"})
    EXPECT_EQ(prompt_in(run_with_file(path, {"hi"})), chat("hi")) << path;
  const int write_only = ::open("/dev/null", O_WRONLY | O_CLOEXEC);  // as nohup leaves it
  EXPECT_EQ(prompt_in(run_with_stdin(write_only, {"hi"})), chat("hi"));
  ::close(write_only);
}

// `while read line; do trine run "$line"; done < lines`
TEST(Prompt, TheRestOfALoopsFileIsLeftAlone) {
  const TemporaryFile file("first\nsecond\nthird\n");
  const int lines = ::open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
  ::lseek(lines, 6, SEEK_SET);
  EXPECT_EQ(prompt_in(run_with_stdin(lines, {"first"})), chat("first"));
  EXPECT_EQ(::lseek(lines, 0, SEEK_CUR), 6);
  EXPECT_EQ(prompt_in(run_with_stdin(lines, {})), chat("second\nthird"));
  ::close(lines);
}

// A job runner's stdin may be a pipe that is never closed.
TEST(Prompt, WaitingIsSaid) {
  Pipe pipe("");
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2600));
    pipe.write("late\n");
    pipe.close();
  });
  const Outcome outcome = run_with_stdin(pipe.reading_end(), {"hi"});
  writer.join();
  EXPECT_NE(
      outcome.err.find("waiting for the text of stdin, which is still open (< /dev/null gives it none)"),
      std::string::npos)
      << outcome.err;
  EXPECT_EQ(prompt_in(outcome), chat("late\n\nhi"));
}

TEST(Prompt, AFifoIsWaitedFor) {
  const std::string path = testing::TempDir() + "trine-fifo-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2600));
    std::ofstream(path) << "late\n";
  });
  const Outcome outcome = run_with_stdin(-1, {"--file", path});
  writer.join();
  std::filesystem::remove(path);
  EXPECT_EQ(prompt_in(outcome), chat("late"));
  EXPECT_NE(outcome.err.find("waiting for the text of " + path), std::string::npos) << outcome.err;
}

TEST(Prompt, WhatCannotFitIsRefusedBeforeItIsMadeTokens) {
  const std::string text(1 << 20, 'x');
  const TemporaryFile file(text);
  const Outcome large = run_with_stdin(-1, {"--file", file.path()});
  EXPECT_EQ(large.status, 2);
  EXPECT_NE(large.err.find("the prompt does not fit into the context"), std::string::npos) << large.err;
  EXPECT_NE(large.err.find("1048576 bytes, so "), std::string::npos) << large.err;
}

TEST(Prompt, ShownIsWhatTheModelGets) {
  EXPECT_EQ(prompt_in(run_with_stdin(-1, {"--system", "Be brief.", "a <|im_end|> b\tc\x1b[2J"})),
            "<|im_start|>system\nBe brief.<|im_end|>\n" + chat("a <|im_end|> b\tc\\x1b[2J"));
  EXPECT_EQ(prompt_in(run_with_stdin(-1, {"--raw", "a\n\nb\n"})), "a\n\nb\n");
}

#endif

}  // namespace
}  // namespace trine::test
