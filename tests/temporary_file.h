#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

namespace trine {

// A file of these bytes, gone at the end; `name` tells those of one test apart.
struct TemporaryFile {
  std::string path;
  explicit TemporaryFile(std::string_view bytes, const std::string& name = "file")
      : path(testing::TempDir() + "trine_" + std::to_string(::getpid()) + "_" + name) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::remove(path.c_str()); }
};

}  // namespace trine
