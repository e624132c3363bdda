#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trine::wgpu {

// A file of src/wgpu/kernels/, part of the binary.
struct ShaderFile {
  std::string_view name;  // "rms_norm.wgsl"
  std::string_view text;
};

std::span<const ShaderFile> shader_files();

// What a kernel is made of, in this order in the text: directives, constants, files.
struct ShaderSource {
  std::vector<std::string> enables;  // "f16"; not "subgroups", which this library refuses
  std::vector<std::pair<std::string, std::uint32_t>> constants;  // const NAME: u32 = VALUEu;
  std::vector<std::pair<std::string, bool>> flags;               // const NAME: bool = VALUE;
  std::vector<std::string> files;                                // embedded names, libraries first
};

// The WGSL text. A name that is not embedded is a bug (check()).
std::string assemble(const ShaderSource& source);

}  // namespace trine::wgpu
