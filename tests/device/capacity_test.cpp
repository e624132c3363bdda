#include "device/capacity.h"

#include <gtest/gtest.h>

namespace trine::device {
namespace {

constexpr std::uint64_t gib = 1ull << 30;

TEST(CapacityTest, ATooSmallDeviceIsToldEveryPartAndTheWayOut) {
  const CapacityPlan plan = {.weights_bytes = 17 * gib,
                             .kv_bytes = 3 * gib,
                             .workspace_bytes = gib / 2,
                             .positions = 32768,
                             .rows = 2048};
  EXPECT_EQ(plan.total_bytes(), 20 * gib + gib / 2);
  const Error error = does_not_fit(plan, "NVIDIA T4", "15.00 GiB available");
  EXPECT_EQ(error.code, ErrorCode::model_load);
  EXPECT_EQ(error.where, "NVIDIA T4");
  EXPECT_EQ(error.expected,
            "room for 17.00 GiB of weights, 3.00 GiB of KV cache for 32768 positions, 0.50 GiB of work space "
            "for 2048 rows");
  EXPECT_EQ(error.actual, "15.00 GiB available");
  EXPECT_NE(error.hint.find("--ctx"), std::string::npos);
  EXPECT_NE(error.hint.find("weights"), std::string::npos);
}

TEST(CapacityTest, PartsThatABackendDoesNotHaveAreNotNamed) {
  const Error error = does_not_fit({.kv_bytes = gib, .positions = 64}, "a processor", "nothing");
  EXPECT_EQ(error.expected, "room for 1.00 GiB of KV cache for 64 positions");
  EXPECT_EQ(error.hint, "Ask for a smaller context (--ctx)");
}

}  // namespace
}  // namespace trine::device
