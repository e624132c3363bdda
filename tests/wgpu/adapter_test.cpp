#include "wgpu/adapter.h"

#include "wgpu_fixture.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

namespace trine::wgpu {
namespace {

class AdapterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listed = list_adapters();
    if (!listed) TRINE_CANNOT_RUN("wgpu", to_string(listed.error()));
    adapters = *std::move(listed);
  }

  std::vector<Adapter> adapters;
};

TEST_F(AdapterTest, SaysWhatItIs) {
  ASSERT_FALSE(adapters.empty());
  for (const Adapter& adapter : adapters) {
    EXPECT_FALSE(adapter.name.empty());
    EXPECT_FALSE(adapter.driver.empty());
    EXPECT_FALSE(adapter.reason.empty());
    EXPECT_TRUE(adapter.api == "Vulkan" || adapter.api == "Metal" || adapter.api == "DirectX 12")
        << adapter.api;
    // The least that the specification allows (https://www.w3.org/TR/webgpu/#limits).
    EXPECT_GE(adapter.limits.max_buffer_bytes, 256ull << 20);
    EXPECT_GE(adapter.limits.max_storage_binding_bytes, 128ull << 20);
    EXPECT_GE(adapter.limits.max_storage_buffers, 8u);
    EXPECT_GE(adapter.limits.max_workgroup_bytes, 16384u);
    EXPECT_GE(adapter.limits.max_workgroup_invocations, 256u);
    EXPECT_GE(adapter.limits.max_workgroups_per_dimension, 65535u);
    EXPECT_LE(adapter.limits.storage_offset_alignment, 256u);
  }
}

TEST_F(AdapterTest, NoSoftwareAdapterIsChosenUnasked) {
  const auto is_gpu = [](const Adapter& a) { return a.type == "discrete-gpu" || a.type == "integrated-gpu"; };
  const auto chosen =
      std::count_if(adapters.begin(), adapters.end(), [](const Adapter& a) { return a.chosen; });
  EXPECT_EQ(chosen, std::any_of(adapters.begin(), adapters.end(), is_gpu) ? 1 : 0);
  for (const Adapter& adapter : adapters) {
    if (adapter.type != "software") continue;
    EXPECT_FALSE(adapter.chosen);
    EXPECT_NE(adapter.reason.find("runs on the CPU"), std::string::npos) << adapter.reason;
  }
  const auto best = choose_adapter("");
  ASSERT_EQ(best.has_value(), chosen == 1);
  if (!best) {
    EXPECT_EQ(best.error().code, ErrorCode::backend_unavailable);
    EXPECT_NE(to_string(best.error()).find(adapters[0].name), std::string::npos) << to_string(best.error());
  }
}

TEST_F(AdapterTest, IsNamedByIndex) {
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const auto named = must(list_adapters(std::to_string(i)));
    ASSERT_EQ(named.size(), adapters.size());
    for (std::size_t k = 0; k < named.size(); ++k) EXPECT_EQ(named[k].chosen, k == i);
  }
}

TEST_F(AdapterTest, IsNamedByPartOfItsNameInAnyCase) {
  std::string part = adapters[0].name.substr(0, 5);
  for (char& c : part) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const auto adapter = must(choose_adapter(part));
  EXPECT_EQ(adapter.name, adapters[0].name);
  EXPECT_TRUE(adapter.chosen);
}

TEST_F(AdapterTest, UnknownNameListsWhatIsThere) {
  // A number is an index, though names have digits in them.
  const std::string behind = std::to_string(adapters.size());
  for (const std::string& name :
       {std::string("no such adapter"), std::string("99"), std::string("-1"), std::string(" "), behind}) {
    const auto adapter = choose_adapter(name);
    ASSERT_FALSE(adapter);
    EXPECT_EQ(adapter.error().code, ErrorCode::backend_unavailable);
    EXPECT_NE(adapter.error().expected.find(adapters[0].name), std::string::npos);
    EXPECT_NE(adapter.error().actual.find(name), std::string::npos);
  }
}

TEST_F(AdapterTest, LookingLeavesStderrAlone) {
  ::testing::internal::CaptureStderr();
  must(list_adapters());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace trine::wgpu
