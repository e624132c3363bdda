#include "engine/stop_filter.h"

#include <gtest/gtest.h>

namespace trine::engine {
namespace {

struct Filtered {
  std::string text;
  bool stopped;
  bool operator==(const Filtered&) const = default;
};

// All of `text` in pieces of `step` bytes.
Filtered run(const std::vector<std::string>& stops, const std::string& text, std::size_t step) {
  StopFilter filter(stops);
  Filtered filtered{{}, false};
  for (std::size_t i = 0; i < text.size(); i += step) filtered.text += filter.push(text.substr(i, step));
  filtered.text += filter.finish();
  filtered.stopped = filter.stopped();
  return filtered;
}

TEST(StopFilter, EndsBeforeTheFirstStopStringHoweverTheTextIsCut) {
  struct Case {
    std::vector<std::string> stops;
    std::string text;
    Filtered expected;
  };
  const Case cases[] = {
      {{}, "hello", {"hello", false}},
      {{"\n\n"}, "a\nb\n\nc", {"a\nb", true}},
      {{"END"}, "the ENEND here", {"the EN", true}},
      {{"aab"}, "aaaab", {"aa", true}},
      {{"abab"}, "abaabab", {"aba", true}},
      {{"b", "a"}, "xxaxb", {"xx", true}},
      {{"a", "b"}, "xxbxa", {"xx", true}},
      {{"cd", "abcdef"}, "xabcdef", {"xab", true}},  // "cd" is complete first
      {{"d", "bcd"}, "abcd", {"a", true}},           // together: the one that begins first
      {{"stop"}, "stop", {"", true}},
      {{"stop"}, "never sto", {"never sto", false}},
      {{"é!"}, "caféé!x", {"café", true}},
  };
  for (const Case& c : cases) {
    for (std::size_t step = 1; step <= c.text.size(); ++step) {
      EXPECT_EQ(run(c.stops, c.text, step), c.expected) << c.text << " in pieces of " << step;
    }
  }
}

TEST(StopFilter, ShowsAtOnceWhatCannotBeginAStopString) {
  StopFilter filter({"STOP", "\n\n"});
  EXPECT_EQ(filter.push("abc"), "abc");
  EXPECT_EQ(filter.push("d S"), "d ");
  EXPECT_EQ(filter.push("T"), "");
  EXPECT_EQ(filter.push("x\n"), "STx");
  EXPECT_EQ(filter.push("y"), "\ny");
  EXPECT_FALSE(filter.stopped());
  EXPECT_EQ(filter.push("zSTOPrest"), "z");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("more"), "");
  EXPECT_EQ(filter.finish(), "");
}

}  // namespace
}  // namespace trine::engine
