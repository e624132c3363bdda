// What a terminal is shown, and what a pipe gets: text of models and files can drive no terminal.
#include "cli/console.h"
#include "cli/subprocess.h"

#include <gtest/gtest.h>
#include <termios.h>
#include <nlohmann/json.hpp>
#include <thread>

namespace trine::test {
namespace {

using cli::printable;
using cli::printable_json;
using cli::printable_lines;
using cli::TerminalText;

// A terminal of our own, which changes no byte.
class Terminal {
 public:
  Terminal() : ours_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (ours_ < 0 || ::grantpt(ours_) != 0 || ::unlockpt(ours_) != 0) return;
    theirs_ = ::open(::ptsname(ours_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    termios settings{};
    ::tcgetattr(theirs_, &settings);
    ::cfmakeraw(&settings);
    ::tcsetattr(theirs_, TCSANOW, &settings);
    reader_ = std::thread([this] {
      while (detail::drain(ours_, shown_)) {
      }
    });
  }
  ~Terminal() {
    if (reader_.joinable()) shown();
    ::close(ours_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  bool is_open() const { return theirs_ >= 0; }
  int end() const { return theirs_; }
  // Once nobody writes any more.
  std::string shown() {
    ::close(theirs_);
    if (reader_.joinable()) reader_.join();
    return shown_;
  }

 private:
  int ours_;
  int theirs_ = -1;
  std::string shown_;
  std::thread reader_;
};

// Runs with `stream` (1 or 2) on a terminal; what it showed takes the stream's place.
Outcome run_on_terminal(std::vector<std::string> arguments, int stream = STDOUT_FILENO) {
  Terminal terminal;
  if (!terminal.is_open()) throw std::runtime_error("no terminal");
  Spawn spawn;
  spawn.arguments = std::move(arguments);
  spawn.before_exec = [&] { ::dup2(terminal.end(), stream); };
  Outcome outcome = run_trine(spawn);
  (stream == STDOUT_FILENO ? outcome.out : outcome.err) = terminal.shown();
  return outcome;
}

// Whether a terminal would do nothing with it but show it.
bool is_harmless(const std::string& text) {
  return printable_lines(text) == text;
}

// The program's own.
std::string without_colour(std::string text) {
  for (const std::string colour : {"\x1b[1;31m", "\x1b[1;33m", "\x1b[0m"})
    for (std::size_t at = text.find(colour); at != std::string::npos; at = text.find(colour))
      text.erase(at, colour.size());
  return text;
}

struct Spelling {
  std::string bytes;
  std::string shown;
};
const Spelling spellings[] = {
    {"plain na\xc3\xafve \xe4\xbd\xa0 \xf0\x9f\x9a\x80", "plain na\xc3\xafve \xe4\xbd\xa0 \xf0\x9f\x9a\x80"},
    {"\x1b[2J", "\\x1b[2J"},                                     // clears the screen
    {"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"},                  // names the window
    {"\x1b]52;c;cm0gLXJm\x1b\\", "\\x1b]52;c;cm0gLXJm\\x1b\\"},  // fills the clipboard
    {"\x9b"
     "31m",
     "\\x9b31m"},  // C1, as a byte
    {"\xc2\x9b"
     "31m",
     "\\xc2\\x9b31m"},  // C1, in UTF-8
    {"safe\rrm -rf", "safe\\rrm -rf"},
    {"a\bb\vc\fd\x7f", "a\\x08b\\x0bc\\x0cd\\x7f"},
    {"\x0e\x0f", "\\x0e\\x0f"},
    {"\xe2\x80\xae"
     "evil\xe2\x80\xac",
     "\\xe2\\x80\\xaeevil\\xe2\\x80\\xac"},
    {"\xe2\x81\xa6x\xe2\x81\xa9", "\\xe2\\x81\\xa6x\\xe2\\x81\\xa9"},
    {"\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa", "\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa"},
    {"half \xe4\xbd", "half \\xe4\\xbd"},
    {"\xc0\x9b", "\\xc0\\x9b"},           // ESC's neighbour, written too long
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},  // a surrogate
    {std::string("a\0b", 3), "a\\x00b"},
};

TEST(Terminal, WhatCouldDriveItIsSpeltOut) {
  for (const Spelling& one : spellings) {
    EXPECT_EQ(printable_lines(one.bytes), one.shown);
    EXPECT_EQ(printable(one.bytes), one.shown);
    EXPECT_TRUE(is_harmless(one.shown));
  }
  EXPECT_EQ(printable_lines("a\n\tb\r\n"), "a\n\tb\\r\n");
  EXPECT_EQ(printable("a\n\tb\r\n"), "a\\n\\tb\\r\\n");
}

TEST(Terminal, JsonStaysTheSameJson) {
  const nlohmann::json value = {{"esc", "\x1b[31m"},
                                {"del", "a\x7f"},
                                {"c1", "\xc2\x9b"},
                                {"bidi", "\u202e\u2066\u2069"},
                                {"text", "né 世界\n\"\\"}};
  for (const int indent : {-1, 2}) {
    const std::string json = value.dump(indent) + "\n";
    const std::string shown = printable_json(json);
    EXPECT_TRUE(is_harmless(shown)) << shown;
    EXPECT_EQ(nlohmann::json::parse(shown), value);
    EXPECT_NE(shown.find("né 世界"), std::string::npos);
  }
}

// Wherever the pieces part, the same is shown.
TEST(Terminal, PiecesShowWhatTheWholeShows) {
  for (const Spelling& one : spellings) {
    for (std::size_t first = 0; first <= one.bytes.size(); ++first) {
      for (std::size_t second = first; second <= one.bytes.size(); ++second) {
        TerminalText text;
        std::string shown = text.add(one.bytes.substr(0, first));
        shown += text.add(one.bytes.substr(first, second - first));
        shown += text.add(one.bytes.substr(second));
        shown += text.finish();
        EXPECT_EQ(shown, one.shown);
      }
    }
  }
}

TEST(Terminal, EveryByteOnATerminalAndInAPipe) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  for (const Spelling& one : spellings) bytes += one.bytes;
  const Outcome ids = run_trine({"tokenize", "-m", demo}, bytes);
  ASSERT_EQ(ids.status, 0) << ids.err;
  const TemporaryFile list(ids.out);
  EXPECT_EQ(run_trine({"detokenize", "-m", demo}, ids.out).out, bytes);
  const Outcome shown = run_on_terminal({"detokenize", "-m", demo, ids.out});
  EXPECT_EQ(shown.status, 0) << shown.err;
  EXPECT_EQ(shown.out, printable_lines(bytes));
  EXPECT_TRUE(is_harmless(shown.out));
}

#ifdef TRINE_HAS_CPU
bool in_utf8(const std::string& text) {
  using nlohmann::json;
  const auto handled = [&](json::error_handler_t how) { return json(text).dump(-1, ' ', false, how); };
  return handled(json::error_handler_t::ignore) == handled(json::error_handler_t::replace);
}

// The demo model with a token spelt so, of 64 bytes. As a user-defined token its spelling is its text.
std::string with_token(std::string spelling) {
  constexpr std::size_t id = 5867;
  const std::string user_defined("\4\0\0\0", 4);
  spelling.resize(64, '.');
  const std::string dashes(64, '-');
  std::string bytes = patched(file_bytes(demo), dashes, spelling);
  const std::string key = "tokenizer.ggml.token_type";
  // Behind the key: the types of the value and of its elements, their number, and the elements.
  const std::size_t types = bytes.find(key) + key.size() + 4 + 4 + 8;
  return bytes.replace(types + 4 * id, 4, user_defined);
}

TEST(Terminal, ATokenSpeltWithEscapes) {
  for (const Spelling& one : spellings) {
    if (one.bytes.starts_with("half")) continue;  // what follows decides about it
    const TemporaryFile model(with_token(one.bytes));
    const std::string padding(64 - one.bytes.size(), '.');
    const std::vector<std::string> arguments = {"run",      "-m", model.path(), "--raw", "--temperature",
                                                "0",        "-q", "-n",         "2",     "--logit-bias",
                                                "5867=100", "x"};
    const std::string text = one.bytes + padding + one.bytes + padding;
    const Outcome piped = run_trine(arguments);
    ASSERT_EQ(piped.status, 0) << piped.err;
    const bool is_utf8 = in_utf8(text);
    if (is_utf8) {
      EXPECT_EQ(piped.out, text + "\n");
    }
    const Outcome shown = run_on_terminal(arguments);
    EXPECT_EQ(shown.out, printable_lines(piped.out));
    if (is_utf8) {
      EXPECT_EQ(shown.out, one.shown + padding + one.shown + padding + "\n");
    }

    const Outcome ids = run_on_terminal({"detokenize", "-m", model.path(), "5867"});
    EXPECT_EQ(ids.out, one.shown + padding);
    for (const std::vector<std::string>& other :
         {std::vector<std::string>{"tokenize", "--json", "-m", model.path(), one.bytes + padding},
          {"inspect", "--json", "--full", model.path()},
          {"inspect", "--full", model.path()},
          {"run", "--json", "-m", model.path(), "--raw", "-n", "1", "--logit-bias", "5867=100", "x"}}) {
      if (one.bytes.find('\0') != std::string::npos && other[0] == "tokenize") continue;
      const Outcome outcome = run_on_terminal(other);
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      EXPECT_TRUE(is_harmless(outcome.out)) << other[0];
    }
    const Outcome verbose = run_on_terminal(
        {"run", "-v", "-m", model.path(), "--raw", "-n", "1", one.bytes + "x"}, STDERR_FILENO);
    EXPECT_TRUE(is_harmless(without_colour(verbose.err))) << printable(verbose.err);
  }
}
#endif

TEST(Terminal, ErrorsOnATerminalHoldNoEscapesButTheirColour) {
  Outcome outcome = run_on_terminal({"inspect", "/nowhere/\x1b[2J\xe2\x80\xae\r.gguf"}, STDERR_FILENO);
  EXPECT_EQ(outcome.status, 3);
  outcome.err = without_colour(std::move(outcome.err));
  EXPECT_TRUE(is_harmless(outcome.err)) << printable(outcome.err);
  EXPECT_NE(outcome.err.find("\\x1b[2J\\xe2\\x80\\xae\\r.gguf"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace trine::test
