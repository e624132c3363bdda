#pragma once

#include "base/error.h"
#include "gguf/metadata.h"

#include <cstdint>
#include <string>
#include <vector>

namespace trine::synth {

// The tokenizer.* keys of `source` (named `path` in errors), padded to `vocab_size` with unused tokens
// `[PADn]`, as llama.cpp's converter pads. Errors: validation_failed when it is longer; model_load and
// unsupported when Trine could not read the result.
Result<std::vector<gguf::Metadata::Entry>> copied_vocabulary(const gguf::Metadata& source,
                                                             const std::string& path,
                                                             std::int32_t vocab_size);

// A vocabulary of bytes: 256 byte symbols, <|endoftext|>, <|im_start|>, <|im_end|>, padding, no merges, and a
// chat template of ChatML. `vocab_size` is at least 259.
std::vector<gguf::Metadata::Entry> byte_vocabulary(std::int32_t vocab_size);

}  // namespace trine::synth
