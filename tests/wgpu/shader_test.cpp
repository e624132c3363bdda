#include "wgpu/shader.h"

#include <gtest/gtest.h>
#include <string>

namespace trine::wgpu {
namespace {

TEST(Shader, ConstantsComeBeforeTheFiles) {
  ShaderSource source;
  source.constants = {{"COLUMNS", 64}};
  source.flags = {{"RESIDUAL", true}};
  source.files = {"subgroup_size.wgsl"};
  const std::string text = assemble(source);
  EXPECT_TRUE(text.starts_with("const COLUMNS: u32 = 64u;\nconst RESIDUAL: bool = true;\n//"));
  EXPECT_NE(text.find("fn main("), text.npos);
}

TEST(Shader, AFileIsTakenOnceForEachOfItsNames) {
  ShaderSource source;
  source.files = {"quant_q6_k.wgsl as gate", "quant_q6_k.wgsl as up"};
  const std::string text = assemble(source);
  EXPECT_NE(text.find("fn gate_load("), text.npos);
  EXPECT_NE(text.find("fn up_load("), text.npos);
  EXPECT_EQ(text.find("weights"), text.npos);
  source.files = {"quant_q6_k.wgsl"};
  EXPECT_NE(assemble(source).find("fn weights_load("), text.npos);
}

}  // namespace
}  // namespace trine::wgpu
