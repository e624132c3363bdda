#pragma once

#include "base/error.h"
#include "base/file.h"
#include "gguf/metadata.h"
#include "gguf/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
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
  std::size_t part = 0;      // which of File::paths()
  std::span<const std::byte> data;
};

// How much of a split model is wanted.
enum class Parts {
  all,      // the model; any part that is missing or wrong is an error
  present,  // those that can be found and read; File::incomplete() says what is wrong with the others
  first,    // the one that holds the metadata, and only its tensors; no other is looked for
};

// A GGUF model, in one file or split into `name-00001-of-0000N.gguf` parts: little-endian, version 2 or 3.
// Opening reads the header only; tensor data stays in the mapping. The metadata of a split model is that of
// its first part; later parts repeat only the split.* keys. Format: ggml's docs/gguf.md.
class File {
 public:
  // `path` names the file, or any one part of a split model. The others are looked for beside it by the name
  // that it has or, where it is a symbolic link, that one of the links' targets has.
  // Errors: file_not_found (naming every part that is missing), io, not_gguf (with the byte offset of what is
  // wrong), unsupported (big-endian, version 1, a tensor type that find_tensor_type() does not know, named by
  // its id).
  static Result<File> open(const std::string& path, Parts wanted = Parts::all);
  // The same over bytes in memory (tests, fuzzing); `bytes` must outlive the File. Of a split model only what
  // needs no other part. Errors: those of open(), and unsupported for one part of several.
  static Result<File> parse(std::span<const std::byte> bytes, std::string name, Parts wanted = Parts::all);

  std::uint32_t version() const { return version_; }
  std::uint64_t alignment() const { return alignment_; }
  const Metadata& metadata() const { return metadata_; }
  std::span<const TensorInfo> tensors() const { return tensors_; }
  const TensorInfo* find_tensor(std::string_view name) const;
  // Paths of the parts that are open, in order; sizes in bytes.
  std::span<const std::string> paths() const { return paths_; }
  std::uint64_t total_bytes() const { return total_bytes_; }
  // Of the whole model; 1 when it is not split.
  std::uint64_t part_count() const { return part_count_; }
  // Of Parts::present: why this is not the whole model. Without its first part the metadata is another
  // part's.
  const std::optional<Error>& incomplete() const { return incomplete_; }

 private:
  struct Opened;
  static Result<Opened> open_parts(Opened given, const std::string& path, Parts wanted);
  static Result<File> assemble(Opened opened);

  std::vector<MappedFile> mappings_;
  std::vector<std::string> paths_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t part_count_ = 1;
  std::optional<Error> incomplete_;
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 32;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;  // not hashed: names come from untrusted files
};

}  // namespace trine::gguf
