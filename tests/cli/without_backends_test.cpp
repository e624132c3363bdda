// A build with every backend off: it says so wherever one would compute, and does all that needs none.
#include "cli/subprocess.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#ifdef TRINE_WITHOUT_BACKENDS

namespace trine::test {
namespace {

using nlohmann::json;

Outcome run_without_backends(std::vector<std::string> arguments) {
  Spawn spawn;
  spawn.program = TRINE_WITHOUT_BACKENDS;
  spawn.arguments = std::move(arguments);
  return run_trine(spawn);
}

TEST(WithoutBackends, WhatComputesIsMissing) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"run", "hi"},
                                                  {"run", "--backend", "cpu", "hi"},
                                                  {"bench", "-m", tiny},
                                                  {"run", "--backend", "wgpu", "hi"},
                                                  {"perplexity", tiny, "text.txt"},
                                                  {"verify", tiny, "--backend", "cpu"}}) {
    SCOPED_TRACE(command[0]);
    const Outcome outcome = run_without_backends(command);
    EXPECT_EQ(outcome.status, 9) << outcome.out << outcome.err;
    EXPECT_NE(outcome.err.find("this build has no "), std::string::npos) << outcome.err;
  }
}

TEST(WithoutBackends, VersionAndDevicesNameNone) {
  EXPECT_EQ(json::parse(run_without_backends({"version", "--json"}).out)["backends"], json::array());
  const Outcome devices = run_without_backends({"devices", "--json"});
  ASSERT_EQ(devices.status, 0) << devices.err;
  const json backends = json::parse(devices.out)["backends"];
  ASSERT_EQ(backends.size(), 3u);
  for (const json& backend : backends) EXPECT_EQ(backend["built"], false) << backend;
}

TEST(WithoutBackends, WhatNeedsNoneWorks) {
  EXPECT_EQ(run_without_backends({"inspect", tiny}).status, 0);
  EXPECT_EQ(run_without_backends({"contract", "validate"}).status, 0);
  const Outcome tokens = run_without_backends({"tokenize", "hello"}),
                expected = run_trine({"tokenize", "hello"});
  EXPECT_EQ(tokens.status, 0) << tokens.err;
  EXPECT_EQ(tokens.out, expected.out);
  // The reference is no backend.
  const std::string file = testing::TempDir() + "trine-without-backends-trace";
  std::remove(file.c_str());
  const Outcome trace = run_without_backends({"trace", tiny, "--backend", "reference", "-o", file});
  EXPECT_EQ(trace.status, 0) << trace.err;
  std::remove(file.c_str());
}

}  // namespace
}  // namespace trine::test

#endif
