#pragma once

#include <span>
#include <string_view>

namespace trine {

// A file of the source tree whose text is part of the program (cmake/embed.cmake).
struct EmbeddedFile {
  std::string_view name;  // without its folder
  std::string_view text;
};

}  // namespace trine
