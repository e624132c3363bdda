#pragma once

#include "gguf/file.h"
#include "gguf/writer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace trine::test {

// A model read from a file, to be written again with something changed. Throws where the library says no:
// then the test is wrong.
class EditedModel {
 public:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dims;  // innermost first
    gguf::TensorType type;
    std::vector<std::byte> bytes;
  };

  explicit EditedModel(const std::string& path) {
    const gguf::File file = must(gguf::File::open(path));
    for (const auto& [key, value] : file.metadata().entries()) metadata.emplace_back(key, value);
    for (const gguf::TensorInfo& one : file.tensors())
      tensors.push_back({one.name, one.dims, one.type, {one.data.begin(), one.data.end()}});
  }

  std::vector<std::pair<std::string, gguf::Value>> metadata;
  std::vector<Tensor> tensors;

  void remove(const std::string& key) {
    if (std::erase_if(metadata, [&](const auto& one) { return one.first == key; }) == 0)
      throw std::runtime_error("no key " + key);
  }
  void set(const std::string& key, gguf::Value value) {
    for (auto& [name, old] : metadata)
      if (name == key) {
        old = std::move(value);
        return;
      }
    metadata.emplace_back(key, std::move(value));
  }
  gguf::Value& value(const std::string& key) {
    for (auto& [name, value] : metadata)
      if (name == key) return value;
    throw std::runtime_error("no key " + key);
  }
  // Sets element `index` of an array.
  template <typename T>
  void set_element(const std::string& key, std::size_t index, T element) {
    std::get<std::vector<T>>(std::get<gguf::Array>(value(key).data).values).at(index) = std::move(element);
  }
  Tensor& tensor(const std::string& name) {
    for (Tensor& one : tensors)
      if (one.name == name) return one;
    throw std::runtime_error("no tensor " + name);
  }
  Tensor take(const std::string& name) {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& one) { return one.name == name; });
    if (found == tensors.end()) throw std::runtime_error("no tensor " + name);
    Tensor taken = std::move(*found);
    tensors.erase(found);
    return taken;
  }

  void write(const std::string& path) const {
    gguf::Writer writer(path);
    for (const auto& [key, value] : metadata) must(writer.add_metadata(key, value));
    for (const Tensor& one : tensors) must(writer.add_tensor(one.name, one.dims, one.type));
    must(writer.begin());
    for (std::size_t i = 0; i < tensors.size(); ++i) must(writer.write(i, 0, tensors[i].bytes));
    must(writer.finish());
  }

 private:
  template <typename T>
  static T must(Result<T> result) {
    if (!result) throw std::runtime_error(to_string(result.error()));
    if constexpr (!std::is_void_v<T>) return *std::move(result);
  }
};

}  // namespace trine::test
