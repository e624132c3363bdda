#pragma once

#include "base/error.h"
#include "base/file.h"
#include "gguf/metadata.h"
#include "gguf/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::gguf {

// One tensor of the file. `data` points into the mapping and was checked to lie inside it, aligned and
// disjoint from every other tensor.
struct TensorInfo {
  std::string name;
  // Innermost dimension first, as GGUF stores them: a matrix of `rows` × `columns` is {columns, rows}. 1 to 4
  // entries.
  std::vector<std::uint64_t> dims;
  TensorType type = TensorType::F32;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  // of the data, from the start of its file
  std::size_t part = 0;      // which file of a split model
  std::span<const std::byte> data;
};

// A GGUF model, in one file or split into `name-00001-of-0000N.gguf` parts: little-endian, version 2 or 3.
// Opening reads the header only; tensor data stays in the mapping. The metadata of a split model is that of
// its first part; later parts repeat only the split.* keys. Format: ggml's docs/gguf.md.
class File {
 public:
  // `path` names the file, or any one part of a split model (all parts are opened).
  // Errors: file_not_found, io, not_gguf (with the byte offset of what is wrong), unsupported (big-endian,
  // version 1, a tensor type that find_tensor_type() does not know, named by its id).
  static Result<File> open(const std::string& path);
  // The same over bytes in memory (tests, fuzzing); `bytes` must outlive the File. No split files.
  static Result<File> parse(std::span<const std::byte> bytes, std::string name);

  std::uint32_t version() const { return version_; }
  std::uint64_t alignment() const { return alignment_; }
  const Metadata& metadata() const { return metadata_; }
  std::span<const TensorInfo> tensors() const { return tensors_; }
  const TensorInfo* find_tensor(std::string_view name) const;
  // Paths of all parts, in order; sizes in bytes.
  std::span<const std::string> paths() const { return paths_; }
  std::uint64_t total_bytes() const { return total_bytes_; }

 private:
  struct Parts;
  static Result<File> assemble(Parts parts);

  std::vector<MappedFile> mappings_;
  std::vector<std::string> paths_;
  std::uint64_t total_bytes_ = 0;
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 32;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;  // not hashed: names come from untrusted files
};

}  // namespace trine::gguf
