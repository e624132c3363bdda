// The help and docs/commands.md say the same.
#include "cli/subprocess.h"

#include <gtest/gtest.h>
#include <regex>
#include <set>

namespace trine::test {
namespace {

const std::vector<std::string> commands = {"run",    "inspect",    "tokenize", "detokenize",
                                           "bench",  "perplexity", "synth",    "contract",
                                           "verify", "trace",      "devices",  "version"};

std::set<std::string> flags_in(const std::string& text, const std::regex& pattern) {
  std::set<std::string> flags;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it)
    flags.insert((*it)[1]);
  return flags;
}

// The options a command's help lists: the long names at the start of an entry.
std::set<std::string> flags_of_help(const std::string& command) {
  const Outcome outcome = run_trine({command, "--help"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, run_trine({"help", command}).out);
  return flags_in(outcome.out, std::regex("\n  (?:-[a-zA-Z], |    )(--[a-z-]+)"));
}

// The text under "## trine NAME", up to the next such heading.
std::string section_of(const std::string& document, const std::string& command) {
  const std::size_t begin = document.find("## trine " + command + "\n");
  if (begin == std::string::npos) return {};
  return document.substr(begin, document.find("\n## ", begin) - begin);
}

TEST(Help, EveryFlagIsDocumentedAndEveryDocumentedFlagExists) {
  const std::string document = file_bytes(TRINE_SOURCE_DIR "/docs/commands.md");
  for (const std::string& command : commands) {
    SCOPED_TRACE(command);
    std::set<std::string> help = flags_of_help(command);
    EXPECT_EQ(help.erase("--help"), 1u);
    // A row of the section's table: | `-m, --model FILE` | …
    EXPECT_EQ(help,
              flags_in(section_of(document, command), std::regex("\n\\| `(?:-[a-zA-Z], )?(--[a-z-]+)")));
  }
}

TEST(Help, OverviewListsEveryCommand) {
  const std::string overview = run_trine({"--help"}).out;
  for (const std::string& command : commands) {
    EXPECT_NE(overview.find("\n  " + command + " "), std::string::npos) << command;
  }
  EXPECT_NE(overview.find("\n  help COMMAND "), std::string::npos);
  EXPECT_NE(overview.find("\n  --version "), std::string::npos);
}

TEST(Help, LinesFitATerminal) {
  for (const std::string& command : commands) {
    const std::string help = run_trine({command, "--help"}).out;
    // Examples are to be copied, so they are not wrapped.
    const std::size_t end = std::min(help.find("\nExamples:"), help.size());
    for (std::size_t begin = 0; begin < end;) {
      const std::size_t newline = help.find('\n', begin);
      std::size_t columns = 0;
      for (std::size_t i = begin; i < newline; ++i) columns += (help[i] & 0xC0) != 0x80 ? 1 : 0;
      EXPECT_LE(columns, 100u) << command << ": " << help.substr(begin, newline - begin);
      begin = newline + 1;
    }
  }
}

TEST(Help, HelpOfHelpIsTheOverview) {
  const std::string overview = run_trine({"help"}).out;
  EXPECT_EQ(run_trine({"help", "help"}).out, overview);
  EXPECT_EQ(run_trine({"help", "help"}).status, 0);
  EXPECT_EQ(run_trine({"help", "--help"}).out, overview);
  EXPECT_EQ(run_trine({"help", "--version"}).out, run_trine({"help", "version"}).out);
  EXPECT_EQ(run_trine({"help", "--version"}).status, 0);
}

TEST(Help, NumbersStateDefaultAndRange) {
  for (const std::string command : {"run", "bench", "perplexity"}) {
    const std::string help =
        std::regex_replace(run_trine({command, "--help"}).out, std::regex("\n +(?=[^ -])"), " ");
    for (const std::string& flag : flags_of_help(command)) {
      const std::size_t at = help.find(flag + " N");
      if (at == std::string::npos || help.compare(at + flag.size(), 5, " NAME") == 0) continue;
      const std::string entry = help.substr(at, help.find('\n', at) - at);
      EXPECT_NE(entry.find("default"), std::string::npos) << entry;
      EXPECT_TRUE(std::regex_search(entry, std::regex("[0-9] (to|or) "))) << entry;
    }
  }
}

TEST(Help, ExitCodesAreDocumented) {
  const std::string document = file_bytes(TRINE_SOURCE_DIR "/docs/errors.md");
  for (const int code : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 130}) {
    EXPECT_NE(document.find("\n| " + std::to_string(code) + " |"), std::string::npos) << code;
  }
  EXPECT_NE(document.find("\n| 129, 143 |"), std::string::npos);
}

}  // namespace
}  // namespace trine::test
