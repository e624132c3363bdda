#pragma once

#include "base/embedded_file.h"

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trine::wgpu {

// The files of src/wgpu/kernels/.
std::span<const EmbeddedFile> shader_files();

// A bug put into every kernel that has the text `from`: for tests of what must find it.
struct ShaderEdit {
  std::string from;
  std::string to;
};
std::string edited(std::string text, std::span<const ShaderEdit> edits);

// What a kernel is made of, in this order in the text: constants, files.
struct ShaderSource {
  std::vector<std::pair<std::string, std::uint32_t>> constants;  // const NAME: u32 = VALUEu;
  std::vector<std::pair<std::string, bool>> flags;               // const NAME: bool = VALUE;
  // Embedded names, libraries first. "quant_q4_k.wgsl as gate" is the file with the word `weights` replaced
  // by `gate`, wherever it stands: so a kernel with several matrices takes a library once for each.
  std::vector<std::string> files;
};

// The WGSL text. A name that is not embedded is a bug (check()).
std::string assemble(const ShaderSource& source);

}  // namespace trine::wgpu
