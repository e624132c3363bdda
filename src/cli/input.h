#pragma once

#include "base/error.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace trine::cli {

// Whether stdin is read although it is not asked for, because another part of a text is given: only where
// text was put there for this program. That is a pipe, a socket, or a file that nobody has read from yet; no
// terminal, no /dev/null or other device, and not the rest of a file that a loop reads line by line.
bool stdin_is_for_us();
// Whether it has text at this moment; never waits.
bool stdin_has_text_now();

enum class Holds { text, bytes };

// A file, or stdin for "-", to its end. Where nothing comes for two seconds, stderr says what is waited for;
// from a terminal, how to end. A regular file that is too large is refused by its size, anything else as soon
// as it is. `Holds::text`: what require_text() refuses is refused, by its beginning. Errors: those of
// require_text(); file_not_found (also a directory); validation_failed (too large); io.
Result<std::string> read_input(const std::string& path, std::uint64_t max_bytes, Holds holds);

// What read_input("-") calls stdin in messages, and everything else by its path.
std::string input_name(const std::string& path);

// Refuses what begins like another kind of file than text in UTF-8 or an encoding like it: a GGUF model, and
// UTF-16 or UTF-32, with a byte order mark or known by its zero bytes. Errors: validation_failed.
Result<void> require_text(std::string_view bytes, const std::string& where);

}  // namespace trine::cli
