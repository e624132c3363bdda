#pragma once

#include "base/error.h"
#include "base/thread_pool.h"
#include "gguf/metadata.h"
#include "synth/plan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace trine::synth {

struct WriteOptions {
  std::string path;
  Preset preset;
  std::vector<gguf::Metadata::Entry> vocabulary;  // tokenizer.* keys
  std::uint64_t seed = 0;
  bool replace = false;  // a file of that name
};

// Called with the bytes of every piece written, from any thread; false ends the work.
using WriteProgress = FunctionRef<bool(std::uint64_t bytes)>;

// Sum of the tensors' bytes.
std::uint64_t tensor_bytes(const Preset& preset);

// Whether the file system of `path` has room for `bytes` more. Errors: file_not_found (no such folder), io.
Result<void> require_space(const std::string& path, std::uint64_t bytes);

// Writes a model of random weights. Its bytes depend on preset, vocabulary and seed only, not on the threads.
// Returns the file's size, or 0 when `progress` ended the work, which leaves no file behind; nor does an
// error. Errors: io, validation_failed, usage (the name is taken, and is not to be replaced).
Result<std::uint64_t> write_model(const WriteOptions& options, ThreadPool& pool, WriteProgress progress);

}  // namespace trine::synth
