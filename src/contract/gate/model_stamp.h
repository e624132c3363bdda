#pragma once

#include "base/error.h"
#include "base/sha256.h"
#include "gguf/file.h"

#include <cstdint>
#include <string>
#include <vector>

namespace trine::contract {

// Of a model's bytes, part after part. Errors: those of sha256_of_files.
Result<std::string> sha256_of_model(const gguf::File& file, const HashProgress& progress);

// What the file system says of a model's files: that they are the same ones, unwritten. A model is mapped and
// its files may change while it runs, so a hash taken before says what ran only when the stamp still holds
// behind. Take it before hashing.
class ModelStamp {
 public:
  // Of all parts. Errors: file_not_found.
  static Result<ModelStamp> of(const gguf::File& file);

  // Errors: validation_failed (which file was written, replaced or removed since), file_not_found.
  Result<void> check_unchanged() const;

 private:
  struct Part {
    std::string path;
    std::uint64_t device = 0, inode = 0, bytes = 0;
    std::int64_t modified_s = 0, modified_ns = 0, changed_s = 0, changed_ns = 0;
    bool operator==(const Part&) const = default;
  };
  static Result<Part> stamp(const std::string& path);

  std::vector<Part> parts_;
};

}  // namespace trine::contract
