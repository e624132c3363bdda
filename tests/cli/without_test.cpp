// --without: what WebGPU leaves out, in every command that runs on it and in what they report.
#include "cli/subprocess.h"
#include "required.h"

#include <gtest/gtest.h>
#include <filesystem>
#include <nlohmann/json.hpp>

#ifdef TRINE_HAS_WGPU

namespace trine::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

class Without : public testing::Test {
 protected:
  void SetUp() override {
    const json wgpu = json::parse(run_trine({"devices", "--json"}).out)["backends"][2];
    if (wgpu.contains("unavailable")) TRINE_CANNOT_RUN("wgpu", wgpu["unavailable"].get<std::string>());
    names = wgpu["adapters"][0]["features"].get<Words>();
  }

  Words names;  // that devices shows of the first adapter
};

void expect_usage(const Outcome& outcome, const std::string& where) {
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("where:    " + where), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("subgroups, f16, timestamps, integer-dot"), std::string::npos) << outcome.err;
}

TEST_F(Without, AnUnknownNameIsAUsageErrorThatListsThem) {
  for (const Words& command :
       {Words{"run", "hi"}, Words{"bench"}, Words{"perplexity", tiny, "text.txt"}, Words{"verify", tiny},
        Words{"trace", tiny, "-o", "/nonexistent/t"}, Words{"contract", "run", "moe-router-v1"}}) {
    SCOPED_TRACE(command[0]);
    Spawn spawn;
    spawn.arguments = command;
    spawn.arguments.insert(spawn.arguments.end(), {"--backend", "wgpu", "--device", "0"});
    Spawn asked = spawn;
    asked.arguments.insert(asked.arguments.end(), {"--without", "f16,warp"});
    expect_usage(run_trine(asked), "--without");
    spawn.environment["TRINE_WGPU_WITHOUT"] = "f16,warp";
    expect_usage(run_trine(spawn), "TRINE_WGPU_WITHOUT");
  }
}

#ifdef TRINE_HAS_CPU
TEST_F(Without, TheCpuHasNothingToLeaveOut) {
  const Outcome outcome = run_trine({"run", "--backend", "cpu", "--without", "f16", "hi"});
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("--without is of --backend wgpu"), std::string::npos) << outcome.err;
  const Outcome untested = run_trine({"run", "--backend", "cpu", "--no-self-test", "hi"});
  EXPECT_EQ(untested.status, 2) << untested.err;
}
#endif

// All together, and the receipt says which. Each alone, and every combination, is held to the reference by
// tests/wgpu/variants_test.cpp; a whole gate takes a software adapter half a minute.
TEST_F(Without, VerifyHoldsAndItsReceiptSaysSo) {
  const Outcome outcome =
      run_trine({"verify", tiny, "-q", "--quick", "--json", "--numerics", "exact", "--backend", "wgpu",
                 "--device", "0", "--without", "subgroups,f16,timestamps,integer-dot"});
  ASSERT_EQ(outcome.status, 0) << outcome.err << outcome.out;
  EXPECT_EQ(json::parse(outcome.out)["device"]["left_out"],
            (Words{"subgroups", "f16", "timestamps", "integer-dot"}));
}

TEST_F(Without, ATraceSaysSo) {
  const std::string file = testing::TempDir() + "trine-without-trace";
  std::filesystem::remove(file);
  Spawn spawn;
  spawn.arguments = {"trace", tiny,        "--json", "-o",       file, "--stages",
                     "embed", "--backend", "wgpu",   "--device", "0"};
  spawn.environment["TRINE_WGPU_WITHOUT"] = "subgroups";
  const Outcome written = run_trine(spawn);
  ASSERT_EQ(written.status, 0) << written.err;
  EXPECT_EQ(json::parse(written.out)["device"]["left_out"], Words{"subgroups"});
  const Outcome compared = run_trine({"trace", "--diff", file, file, "--json"});
  ASSERT_EQ(compared.status, 0) << compared.err;
  EXPECT_NE(compared.out.find("\"left_out\""), std::string::npos) << compared.out;
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace trine::test

#endif
