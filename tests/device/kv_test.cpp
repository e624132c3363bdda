#include "device/kv.h"

#include <gtest/gtest.h>
#include <limits>
#include <vector>

namespace trine::device {
namespace {

model::Config small_config() {
  model::Config config;
  config.n_layers = 3;
  config.n_kv_heads = 2;
  config.head_dim = 6;
  return config;
}

TEST(KvTest, PagesHoldAllPositions) {
  EXPECT_EQ(kv_pages(1), 1);
  EXPECT_EQ(kv_pages(64), 1);
  EXPECT_EQ(kv_pages(65), 2);
  EXPECT_EQ(kv_pages(std::numeric_limits<std::int32_t>::max()), 1 << 25);
}

TEST(KvTest, SlotsFollowThePageTable) {
  const std::vector<std::int32_t> table = {5, 0};
  EXPECT_EQ(kv_slot(table, 0), 320);
  EXPECT_EQ(kv_slot(table, 63), 383);
  EXPECT_EQ(kv_slot(table, 64), 0);
  EXPECT_EQ(kv_slot(table, 127), 63);
}

TEST(KvTest, BytesAreOfKeysAndValuesInAllLayers) {
  // Two heads of six elements, keys and values, 64 positions.
  EXPECT_EQ(kv_page_bytes(small_config(), KvType::f16), 2u * 2 * 6 * 64 * 2);
  EXPECT_EQ(kv_page_bytes(small_config(), KvType::f32), 2u * 2 * 6 * 64 * 4);
  EXPECT_EQ(kv_page_bytes(small_config(), KvType::f16, 4), 2u * 2 * 8 * 64 * 2);
  EXPECT_EQ(kv_page_bytes(small_config(), KvType::bf16), 2u * 2 * 6 * 64 * 2);
  // Blocks of 32 bytes, each with a scale of four.
  EXPECT_EQ(kv_page_bytes(small_config(), KvType::q8_0, 32), 2u * 2 * 64 * (32 + 4));
  EXPECT_EQ(kv_bytes(small_config(), 65, KvType::f32), 3u * 2 * (2u * 2 * 6 * 64 * 4));
}

}  // namespace
}  // namespace trine::device
