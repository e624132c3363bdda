#include "base/sha256.h"

#include "temporary_file.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <string>
#include <vector>

namespace trine {
namespace {

using test::TemporaryFile;

TEST(Sha256, TestVectorsOfTheStandard) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const TemporaryFile file(std::string(1000000, 'a'));
  std::uint64_t bytes = 0;
  const auto sum = sha256_of_file(file.path(), [&](std::uint64_t n) { bytes += n; });
  ASSERT_TRUE(sum);
  EXPECT_EQ(*sum, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(bytes, 1000000u);
  EXPECT_FALSE(sha256_of_file("/no/such/file", {}));
}

TEST(Sha256, SeveralFilesAreOneSum) {
  const TemporaryFile a("a"), bc("bc");
  const std::vector<std::string> paths = {a.path(), bc.path()};
  EXPECT_EQ(*sha256_of_files(paths, {}), sha256("abc"));
}

}  // namespace
}  // namespace trine
