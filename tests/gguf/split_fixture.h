#pragma once

#include "gguf/file.h"
#include "gguf_builder.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fstream>
#include <string>
#include <vector>

namespace trine::test {

// A model of three parts in a fresh directory; a test spoils what it wants before save().
class SplitTest : public testing::Test {
 protected:
  void SetUp() override { fill(); }

  // The parts as they should be.
  void fill() {
    for (int i = 0; i < 3; ++i) parts_[i] = GgufBuilder();
    for (int i = 0; i < 3; ++i) {
      parts_[i]
          .u16("split.no", static_cast<std::uint16_t>(i))
          .u16("split.count", 3)
          .i32("split.tensors.count", 3);
      parts_[i].tensor(std::string(1, static_cast<char>('a' + i)), {8}, 0, 32);
    }
    parts_[0].string("general.architecture", "test");
  }

  std::string path(int part) const {
    return folder_.path("model-0000" + std::to_string(part + 1) + "-of-00003.gguf");
  }
  std::string in(const std::string& name) const { return folder_.path(name); }
  static void write(const std::string& to, const std::string& bytes) {
    std::filesystem::create_directories(std::filesystem::path(to).parent_path());
    std::ofstream(to, std::ios::binary) << bytes;
  }
  void save() const {
    for (int i = 0; i < 3; ++i) std::ofstream(path(i), std::ios::binary) << parts_[i].build();
  }
  void expect_refused(const std::string& file_path, ErrorCode code,
                      const std::vector<std::string>& parts) const {
    const auto file = gguf::File::open(file_path);
    ASSERT_FALSE(file.has_value());
    EXPECT_EQ(file.error().code, code) << to_string(file.error());
    for (const std::string& part : parts) EXPECT_THAT(to_string(file.error()), testing::HasSubstr(part));
  }

  TemporaryFolder folder_;
  GgufBuilder parts_[3];
};

}  // namespace trine::test
