#include "gguf/file.h"
#include "split_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>

namespace trine::gguf {
namespace {

namespace fs = std::filesystem;
using test::SplitTest;

TEST_F(SplitTest, OpensFromAnyPart) {
  save();
  for (int i = 0; i < 3; ++i) {
    const auto file = File::open(path(i));
    ASSERT_TRUE(file.has_value()) << to_string(file.error());
    ASSERT_EQ(file->paths().size(), 3u);
    EXPECT_EQ(file->paths()[0], path(0));
    EXPECT_EQ(file->paths()[2], path(2));
    EXPECT_EQ(file->total_bytes(), fs::file_size(path(0)) + fs::file_size(path(1)) + fs::file_size(path(2)));
    EXPECT_EQ(file->metadata().get_string("general.architecture").value(), "test");
    ASSERT_EQ(file->tensors().size(), 3u);
    for (std::size_t t = 0; t < 3; ++t) {
      EXPECT_EQ(file->tensors()[t].part, t);
      EXPECT_EQ(file->tensors()[t].name, std::string(1, static_cast<char>('a' + t)));
      EXPECT_EQ(file->tensors()[t].data[5], std::byte{5});
    }
  }
}

TEST_F(SplitTest, NamesAMissingPart) {
  save();
  fs::remove(path(1));
  expect_refused(path(0), ErrorCode::file_not_found, {"part 2 of 3", "model-00002-of-00003.gguf"});
}

TEST_F(SplitTest, RefusesARenamedPart) {
  save();
  const std::string renamed = folder_.path("other.gguf");
  fs::copy(path(0), renamed);
  expect_refused(renamed, ErrorCode::not_gguf, {"renamed", "-00001-of-00003.gguf", "other.gguf"});
  fs::copy(path(2), path(0), fs::copy_options::overwrite_existing);
  expect_refused(path(0), ErrorCode::not_gguf, {"renamed", "-00003-of-00003.gguf"});
  expect_refused(path(1), ErrorCode::not_gguf,
                 {"wrong number", "key 'split.no'", "expected 0, got 2", "counts from 0"});
}

TEST_F(SplitTest, RefusesPartsThatDisagree) {
  parts_[1].u16("split.count", 4);
  save();
  expect_refused(path(0), ErrorCode::not_gguf, {"model-00002", "key 'split.count'", "expected 3, got 4"});
}

TEST_F(SplitTest, RefusesMissingKeys) {
  parts_[2].remove("split.no");
  save();
  expect_refused(path(0), ErrorCode::not_gguf, {"model-00003", "key 'split.no'", "no such key"});
  parts_[2].u16("split.no", 2);
  parts_[0].remove("split.tensors.count");
  save();
  expect_refused(path(0), ErrorCode::not_gguf, {"model-00001", "key 'split.tensors.count'", "no such key"});
}

TEST_F(SplitTest, RefusesImpossibleKeys) {
  parts_[0].i32("split.no", -1);
  save();
  expect_refused(path(0), ErrorCode::not_gguf, {"impossible split key", "key 'split.no'"});
  parts_[0].u16("split.no", 3);
  save();
  expect_refused(path(0), ErrorCode::not_gguf, {"impossible part number", "0 to 2", "got 3"});
  parts_[0].i32("split.count", 65536);
  save();
  expect_refused(path(0), ErrorCode::not_gguf, {"impossible number of parts", "0 to 65535", "got 65536"});
}

// tools/gguf-split/gguf-split.cpp of llama.cpp, gguf_merge(): the first part's keys, and split.count = 0.
TEST_F(SplitTest, OpensWhatTheMergeToolWrites) {
  parts_[0].u16("split.count", 0).tensor("b", {8}, 0, 32).tensor("c", {8}, 0, 32);
  const std::string merged = folder_.path("merged.gguf");
  std::ofstream(merged, std::ios::binary) << parts_[0].build();
  const auto file = File::open(merged);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_EQ(file->tensors().size(), 3u);
}

TEST_F(SplitTest, RefusesALostTensor) {
  parts_[1].remove_tensor("b");
  save();
  expect_refused(path(0), ErrorCode::not_gguf, {"key 'split.tensors.count'", "expected 3, got 2"});
}

TEST_F(SplitTest, RefusesTheSameTensorInTwoParts) {
  parts_[1].remove_tensor("b").tensor("a", {8}, 0, 32);
  save();
  expect_refused(path(0), ErrorCode::not_gguf, {"same name", "tensor 'a'", "model-00001", "model-00002"});
}

TEST_F(SplitTest, NamesTheDamagedPart) {
  save();
  fs::resize_file(path(2), 20);
  expect_refused(path(0), ErrorCode::not_gguf, {"model-00003-of-00003.gguf", "ends inside"});
}

TEST(File, OpensTheModelsOfTheRepository) {
  const std::string models = std::string(TRINE_SOURCE_DIR) + "/models";
  const auto demo = File::open(models + "/demo-coder-Q4_K_M.gguf");
  ASSERT_TRUE(demo.has_value()) << to_string(demo.error());
  // Counts, types and offsets as gguf-py's GGUFReader lists them.
  EXPECT_EQ(demo->tensors().size(), 99u);
  EXPECT_EQ(demo->metadata().get_uint("qwen3moe.block_count").value(), 8u);
  EXPECT_EQ(demo->find_tensor("blk.7.ffn_up_exps.weight")->offset, 25739360u);
  EXPECT_EQ(demo->find_tensor("blk.7.ffn_down_exps.weight")->type, TensorType::Q6_K);
  EXPECT_EQ(demo->find_tensor("output.weight")->dims, (std::vector<std::uint64_t>{512, 8192}));
  EXPECT_EQ(demo->find_tensor("output.weight")->offset, 268384u);

  int opened = 0;
  for (const auto& entry : fs::directory_iterator(models + "/tiny")) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = File::open(entry.path().string());
    EXPECT_TRUE(file.has_value()) << to_string(file.error());
    ++opened;
  }
  EXPECT_GE(opened, 16);
}

TEST(File, SaysWhatCannotBeOpened) {
  EXPECT_EQ(File::open("/no/such/file.gguf").error().code, ErrorCode::file_not_found);
  EXPECT_EQ(File::open("/tmp").error().code, ErrorCode::file_not_found);
}

}  // namespace
}  // namespace trine::gguf
