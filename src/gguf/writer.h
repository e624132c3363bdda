#pragma once

#include "base/error.h"
#include "gguf/metadata.h"
#include "gguf/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace trine::gguf {

// Writes a GGUF version 3 file: declare everything, then begin(), then the tensors' bytes in any order and
// from any thread. The file appears under its name only when finish() succeeds (it is written beside it and
// renamed), so a crash or a full disk leaves no half model behind.
class Writer {
 public:
  explicit Writer(std::string path, std::uint64_t alignment = 32);
  ~Writer();  // removes the temporary file when finish() was not reached
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Errors: validation_failed for a duplicate key or name, an empty dimension, a row that is no whole number
  // of blocks, or a size that overflows.
  Result<void> add_metadata(std::string key, Value value);
  // `dims` innermost first. Returns the tensor's index.
  Result<std::size_t> add_tensor(std::string name, std::vector<std::uint64_t> dims, TensorType type);

  // Creates the file and writes the header. Errors: io.
  Result<void> begin();
  // Writes `bytes` at `offset` within tensor `index`. Thread-safe after begin().
  Result<void> write(std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes);
  // Checks that every tensor was written whole, syncs and renames. Errors: io, validation_failed, usage (a
  // file of that name exists, also one that appeared meanwhile, and is to be kept).
  enum class Existing { replace, keep };
  Result<void> finish(Existing existing = Existing::replace);

  std::uint64_t tensor_bytes(std::size_t index) const;
  std::uint64_t total_bytes() const;  // of the finished file; known after begin()

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trine::gguf
