// --threads, --pin and --numa.
#include "cli/subprocess.h"
#include "required.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace trine::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

#ifdef TRINE_HAS_CPU
TEST(Threads, AutoIsTheDefault) {
  const Words run = {"run", "--backend", "cpu", "-n", "1", "--json", "hi"};
  Words asked = run;
  asked.insert(asked.end(), {"--threads", "auto"});
  const int usual = json::parse(run_trine({"devices", "--json"}).out)["cpu"]["topology"]["default_threads"];
  for (const Words& command : {run, asked}) {
    const Outcome outcome = run_trine(command);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const json device = json::parse(outcome.out)["device"];
    EXPECT_EQ(device["threads"], usual);
    EXPECT_FALSE(device.contains("pinned")) << device;
  }
}

TEST(Threads, PinnedOnesAreSaidToBe) {
  for (const Words& command :
       {Words{"run", "-n", "1", "hi"}, Words{"bench", "--prefill", "4", "--decode", "1", "--depth", "0"}}) {
    Words arguments = command;
    arguments.insert(arguments.end(), {"--backend", "cpu", "--threads", "1", "--pin"});
    const Outcome outcome = run_trine(arguments);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_NE((outcome.out + outcome.err).find("1 thread, pinned"), std::string::npos) << outcome.err;
  }
  const Outcome as_json =
      run_trine({"run", "--backend", "cpu", "--threads", "1", "--pin", "-n", "1", "--json", "hi"});
  ASSERT_EQ(as_json.status, 0) << as_json.err;
  EXPECT_EQ(json::parse(as_json.out)["device"]["pinned"], true);
}

TEST(Threads, MemoryIsSaidToBeOnNodesWhereThereAreSeveral) {
  const int nodes = json::parse(run_trine({"devices", "--json"}).out)["cpu"]["topology"]["nodes"];
  for (const std::string value : {"auto", "off"}) {
    const Outcome outcome =
        run_trine({"run", "--backend", "cpu", "--numa", value, "-n", "1", "--json", "hi"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const json device = json::parse(outcome.out)["device"];
    // Of several, a container may not be allowed to say so.
    if (nodes > 1 && value == "auto") continue;
    EXPECT_FALSE(device.contains("memory_nodes")) << device;
  }
  EXPECT_EQ(run_trine({"run", "--numa", "on", "hi"}).status, 2);
}

TEST(Threads, NoMoreArePinnedThanThereAreToPinTo) {
  const Outcome outcome = run_trine({"run", "--backend", "cpu", "--threads", "1024", "--pin", "hi"});
  if (outcome.status == 0)
    GTEST_SKIP() << "this machine has as many hardware threads as --threads may ask for";
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("with --pin"), std::string::npos) << outcome.err;
}
#endif

#ifdef TRINE_HAS_WGPU
TEST(Threads, OtherBackendsHaveNoneToPlace) {
  const json wgpu = json::parse(run_trine({"devices", "--json"}).out)["backends"][2];
  if (wgpu.contains("unavailable")) TRINE_CANNOT_RUN("wgpu", wgpu["unavailable"].get<std::string>());
  for (const Words& command : {Words{"run", "hi"}, Words{"bench"}, Words{"perplexity", tiny, "text.txt"}}) {
    Words arguments = command;
    arguments.insert(arguments.end(), {"--backend", "wgpu", "--device", "0"});
    for (const Words& option : {Words{"--pin"}, Words{"--numa", "off"}, Words{"--numa", "auto"}}) {
      Words all = arguments;
      all.insert(all.end(), option.begin(), option.end());
      const Outcome outcome = run_trine(all);
      EXPECT_EQ(outcome.status, 2) << outcome.err;
      EXPECT_NE(outcome.err.find("where:    " + option[0]), std::string::npos) << outcome.err;
    }
  }
}
#endif

}  // namespace
}  // namespace trine::test
