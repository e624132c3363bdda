#include "base/zeroed_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace trine {
namespace {

TEST(ZeroedPagesTest, AreZeroAndCanBeWritten) {
  constexpr std::size_t size = (4 << 20) + 100;
  ZeroedPages pages = ZeroedPages::map(size);
  ASSERT_TRUE(pages);
  pages.prefer_huge();
  ASSERT_EQ(pages.bytes().size(), size);
  EXPECT_TRUE(
      std::all_of(pages.bytes().begin(), pages.bytes().end(), [](std::byte b) { return b == std::byte{0}; }));
  std::fill(pages.bytes().begin(), pages.bytes().end(), std::byte{7});
  EXPECT_EQ(pages.bytes().front(), std::byte{7});
  EXPECT_EQ(pages.bytes().back(), std::byte{7});
}

TEST(ZeroedPagesTest, AreNoneWhereThereIsNoAddressSpace) {
  EXPECT_FALSE(ZeroedPages::map(std::numeric_limits<std::size_t>::max() / 2));
  ZeroedPages none;
  EXPECT_FALSE(none);
  EXPECT_TRUE(none.bytes().empty());
  none.prefer_huge();
}

TEST(ZeroedPagesTest, MoveWithTheirBytes) {
  ZeroedPages pages = ZeroedPages::map(4096);
  ASSERT_TRUE(pages);
  pages.bytes()[5] = std::byte{9};
  const ZeroedPages other = std::move(pages);
  EXPECT_EQ(other.bytes()[5], std::byte{9});
  EXPECT_FALSE(pages);  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(pages.bytes().empty());
}

}  // namespace
}  // namespace trine
