#include "base/file.h"

#include "temporary_file.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace trine {
namespace {

using test::TemporaryFile;

TEST(MappedFile, HoldsTheBytesOfTheFile) {
  const std::string bytes("a\0b\xff", 4);
  const TemporaryFile file(bytes);
  auto mapped = MappedFile::open(file.path());
  ASSERT_TRUE(mapped) << to_string(mapped.error());
  const MappedFile moved = *std::move(mapped);
  ASSERT_EQ(moved.bytes().size(), 4u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(moved.bytes().data()), 4), bytes);
}

TEST(MappedFile, AnEmptyFileIsEmpty) {
  const TemporaryFile file("");
  const auto mapped = MappedFile::open(file.path());
  ASSERT_TRUE(mapped);
  EXPECT_TRUE(mapped->bytes().empty());
}

TEST(MappedFile, NamesWhatIsWrong) {
  const auto absent = MappedFile::open("/nonexistent/model.gguf");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::file_not_found);
  EXPECT_NE(to_string(absent.error()).find("/nonexistent/model.gguf"), std::string::npos);

  const auto folder = MappedFile::open("/tmp");
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::file_not_found);
  EXPECT_NE(to_string(folder.error()).find("a directory"), std::string::npos);
}

TEST(ReadFile, KeepsBytesAndObeysItsLimit) {
  const std::string bytes("\0\r\n\xc3", 4);
  const TemporaryFile file(bytes);
  EXPECT_EQ(read_file(file.path()).value(), bytes);
  const auto limited = read_file(file.path(), 3);
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.error().code, ErrorCode::validation_failed);
}

TEST(LinkTarget, LeadsThroughLinksToWhatIsOrWillBeThere) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(testing::TempDir()) / ("trine_links_" + std::to_string(::getpid()));
  fs::create_directories(folder / "below");
  fs::create_symlink("below/absent", folder / "relative");
  fs::create_symlink(folder / "relative", folder / "absolute");
  EXPECT_EQ(link_target(folder / "absolute"), (folder / "below/absent").string());
  EXPECT_EQ(link_target(folder / "plain"), (folder / "plain").string());
  fs::create_symlink("loop", folder / "loop");
  EXPECT_EQ(link_target(folder / "loop"), (folder / "loop").string());
  fs::remove_all(folder);
}

TEST(Error, OneLineSaysWhatWhereExpectedActualAndHint) {
  const Error error{.code = ErrorCode::model_load,
                    .what = "tensor has the wrong shape",
                    .where = "blk.0.attn_q.weight",
                    .expected = "[512, 512]",
                    .actual = "[512, 256]",
                    .hint = "The file may be damaged"};
  EXPECT_EQ(to_string(error),
            "tensor has the wrong shape (blk.0.attn_q.weight): expected [512, 512], got [512, 256]. The file "
            "may be "
            "damaged");
  EXPECT_EQ(to_string(Error{.code = ErrorCode::other, .what = "broken"}), "broken");
}

}  // namespace
}  // namespace trine
