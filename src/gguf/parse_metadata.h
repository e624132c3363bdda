#pragma once

#include "gguf/cursor.h"
#include "gguf/metadata.h"

#include <cstdint>

namespace trine::gguf {

// The `count` key/value pairs that follow. Errors: not_gguf. Not used outside this folder.
Result<Metadata> read_metadata(Cursor& cursor, std::uint64_t count);

}  // namespace trine::gguf
