#include "wgpu/shader.h"

#include "base/check.h"

#include <fmt/format.h>
#include <algorithm>

namespace trine::wgpu {
namespace {

constexpr std::string_view placeholder = "weights";

std::string_view find_file(std::string_view name) {
  const std::span<const EmbeddedFile> files = shader_files();
  const auto file =
      std::find_if(files.begin(), files.end(), [&](const EmbeddedFile& f) { return f.name == name; });
  check(file != files.end(), "every kernel file that is asked for is embedded");
  return file->text;
}

void append_renamed(std::string& text, std::string_view file, std::string_view name) {
  for (std::size_t at = 0; at < file.size();) {
    const std::size_t next = std::min(file.find(placeholder, at), file.size());
    text += file.substr(at, next - at);
    if (next < file.size()) text += name;
    at = next + placeholder.size();
  }
}

}  // namespace

std::string edited(std::string text, std::span<const ShaderEdit> edits) {
  for (const ShaderEdit& edit : edits)
    for (std::size_t at = text.find(edit.from); at != text.npos;
         at = text.find(edit.from, at + edit.to.size()))
      text.replace(at, edit.from.size(), edit.to);
  return text;
}

std::string assemble(const ShaderSource& source) {
  std::string text;
  for (const auto& [name, value] : source.constants)
    text += fmt::format("const {}: u32 = {}u;\n", name, value);
  for (const auto& [name, value] : source.flags) text += fmt::format("const {}: bool = {};\n", name, value);
  for (const std::string_view entry : source.files) {
    constexpr std::string_view as = " as ";
    const std::size_t split = entry.find(as);
    const std::string_view file = find_file(entry.substr(0, split));
    append_renamed(text, file, split == entry.npos ? placeholder : entry.substr(split + as.size()));
  }
  return text;
}

}  // namespace trine::wgpu
