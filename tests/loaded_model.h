#pragma once

#include "gguf/file.h"
#include "model/weights.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace trine::test {

inline const std::string models_dir = std::string(TRINE_SOURCE_DIR) + "/models/";
inline const std::string demo_path = models_dir + "demo-coder-Q4_K_M.gguf";

// Paths of models/tiny/*.gguf, sorted.
inline std::vector<std::string> tiny_paths() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(models_dir + "tiny"))
    if (entry.path().extension() == ".gguf") paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// A file and its weights, kept together. A model that cannot be loaded is a failed test, never a skipped one.
struct LoadedModel {
  explicit LoadedModel(const std::string& path) {
    auto opened = gguf::File::open(path);
    if (!opened) throw std::runtime_error(to_string(opened.error()));
    file = std::make_unique<gguf::File>(*std::move(opened));
    auto loaded = model::load_weights(*file);
    if (!loaded) throw std::runtime_error(to_string(loaded.error()));
    weights = *std::move(loaded);
  }

  std::unique_ptr<gguf::File> file;
  model::Weights weights;
};

// A gtest parameter name: "tiny_Q4_K".
inline std::string test_name(const std::string& path) {
  std::string name = std::filesystem::path(path).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

}  // namespace trine::test
