#include "wgpu/library.h"

#include <gtest/gtest.h>
#include <string>

namespace trine::wgpu {
namespace {

TEST(WrongLibrary, IsMissing) {
  const auto library = open_library("/nonexistent/libwgpu.so");
  ASSERT_FALSE(library);
  EXPECT_EQ(library.error().code, ErrorCode::backend_unavailable);
  EXPECT_EQ(library.error().where, "/nonexistent/libwgpu.so");
  EXPECT_NE(library.error().hint.find("scripts/setup wgpu"), std::string::npos) << library.error().hint;
}

TEST(WrongLibrary, IsNoLibrary) {
  const auto library = open_library(TRINE_SOURCE_DIR "/CMakeLists.txt");
  ASSERT_FALSE(library);
  EXPECT_EQ(library.error().code, ErrorCode::backend_unavailable);
  EXPECT_FALSE(library.error().actual.empty());
}

TEST(WrongLibrary, IsAnotherOne) {
  const auto library = open_library("libm.so.6");
  ASSERT_FALSE(library);
  EXPECT_EQ(library.error().code, ErrorCode::backend_unavailable);
  EXPECT_NE(library.error().actual.find("wgpuGetVersion"), std::string::npos) << library.error().actual;
}

TEST(Library, IsFoundBesideTheExecutable) {
  const auto library = load_library();
  ASSERT_TRUE(library) << to_string(library.error());
  EXPECT_EQ((*library)->version.substr(0, 3), "29.") << (*library)->version;
  EXPECT_NE((*library)->path.find("/libwgpu_native-release.so"), std::string::npos) << (*library)->path;
  EXPECT_EQ(&api(), *library);
}

}  // namespace
}  // namespace trine::wgpu
