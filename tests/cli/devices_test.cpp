// devices: the WebGPU adapters, and what it says where there is no library or no driver.
#include "required.h"
#include "subprocess.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

#ifdef TRINE_HAS_WGPU

namespace trine::test {
namespace {

Outcome devices(const std::string& variable, const std::string& value, bool as_json) {
  Spawn spawn;
  spawn.arguments = {"devices"};
  if (as_json) spawn.arguments.emplace_back("--json");
  spawn.environment[variable] = value;
  return run_trine(spawn);
}

// Without it the command still lists what there is, and says why this is not there.
void expect_unavailable(const std::string& variable, const std::string& value, const std::string& why) {
  const Outcome text = devices(variable, value, false);
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_EQ(text.err, "");
  EXPECT_NE(text.out.find("unavailable: "), std::string::npos) << text.out;
  EXPECT_NE(text.out.find(why), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("memory"), std::string::npos) << text.out;
  const Outcome json = devices(variable, value, true);
  EXPECT_EQ(json.status, 0) << json.err;
  const nlohmann::json wgpu = nlohmann::json::parse(json.out)["backends"][2];
  EXPECT_TRUE(wgpu["adapters"].empty());
  EXPECT_NE(wgpu["unavailable"].get<std::string>().find(why), std::string::npos) << wgpu;
}

TEST(WgpuDevices, WithoutTheLibrary) {
  expect_unavailable("TRINE_WGPU_LIBRARY", "/nonexistent/lib.so", "/nonexistent/lib.so");
  expect_unavailable("TRINE_WGPU_LIBRARY", TRINE_SOURCE_DIR "/README.md", "cannot be loaded");
}

TEST(WgpuDevices, WithoutADriver) {
  expect_unavailable("VK_ICD_FILENAMES", "/nonexistent/icd.json", "there is no WebGPU adapter");
}

TEST(WgpuDevices, EachAdapterSaysWhetherItIsChosen) {
  const Outcome outcome = devices("UNUSED", "", true);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const nlohmann::json wgpu = nlohmann::json::parse(outcome.out)["backends"][2];
  if (wgpu.contains("unavailable")) TRINE_CANNOT_RUN("wgpu", wgpu["unavailable"].get<std::string>());
  const std::string text = devices("UNUSED", "", false).out;
  ASSERT_FALSE(wgpu["adapters"].empty());
  for (const nlohmann::json& adapter : wgpu["adapters"]) {
    const bool is_gpu = adapter["type"] == "discrete-gpu" || adapter["type"] == "integrated-gpu";
    EXPECT_TRUE(is_gpu || adapter["chosen"] == false) << adapter;
    EXPECT_FALSE(adapter["reason"].get<std::string>().empty()) << adapter;
    EXPECT_GE(adapter["limits"]["max_storage_binding_bytes"], 128 << 20);
    EXPECT_NE(text.find(adapter["name"].get<std::string>()), std::string::npos) << text;
    EXPECT_NE(text.find(adapter["reason"].get<std::string>()), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace trine::test

#endif
