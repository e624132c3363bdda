#include "wgpu/shader.h"

#include "base/check.h"

#include <fmt/format.h>
#include <algorithm>

namespace trine::wgpu {

std::string assemble(const ShaderSource& source) {
  std::string text;
  for (const std::string& feature : source.enables) text += fmt::format("enable {};\n", feature);
  for (const auto& [name, value] : source.constants)
    text += fmt::format("const {}: u32 = {}u;\n", name, value);
  for (const auto& [name, value] : source.flags) text += fmt::format("const {}: bool = {};\n", name, value);
  for (const std::string& name : source.files) {
    const std::span<const ShaderFile> files = shader_files();
    const auto file =
        std::find_if(files.begin(), files.end(), [&](const ShaderFile& f) { return f.name == name; });
    check(file != files.end(), "every kernel file that is asked for is embedded");
    text += file->text;
  }
  return text;
}

}  // namespace trine::wgpu
