#pragma once

#include "base/error.h"

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace trine::cli {

// A file that a command writes a result into. It replaces a file of its own kind only: the option may have
// swallowed the name of a model.
struct OutputFile {
  std::string path;
  std::string_view option;                              // "--receipt"
  std::string_view kind;                                // "receipt"
  std::function<bool(const std::string&)> is_its_kind;  // whether the file at this path is one
};

// Whether the outputs can be written, to be asked before the work. Errors: usage (an output is an input or
// another output, no regular file, has a name too long, or exists and is of another kind), file_not_found (no
// such folder), io (not writable).
Result<void> check_outputs(std::span<const OutputFile> outputs, std::span<const std::string> inputs);

// The part of this that can change during the work, to be asked again when the file gets its name. Errors:
// as above.
Result<void> check_replaced(const OutputFile& output);

// Writes the whole file under another name and renames it, so that a failure leaves what was there. Errors:
// those of check_replaced() (of a file that has come since), file_not_found, io.
Result<void> write_output(const OutputFile& output, std::string_view text);

}  // namespace trine::cli
