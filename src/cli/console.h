#pragma once

#include "base/error.h"
#include "cli/terminal_text.h"

#include <atomic>
#include <cstdio>
#include <string>
#include <string_view>

namespace trine::cli {

// Results go to stdout, everything about them (notes, warnings, statistics, errors) to stderr.

// Writes bytes to stdout: as they are into a file or a pipe, and as TerminalText shows them on a terminal. A
// failed write is remembered by the stream; finish_output() reports it.
void write_out(std::string_view bytes);
// A JSON text, which stays JSON on a terminal.
void write_json(std::string_view json);
void flush_out();
bool output_failed();
// Errors: io when anything written to stdout did not arrive (disk full).
Result<void> finish_output();

// Text to stderr. What cannot be written is lost: nothing is left to say so with, and the exit code must keep
// its meaning.
inline void write_err(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

// One line on stderr: "trine: text", "trine: warning: text".
void note(std::string_view text);
void warn(std::string_view text);

// "trine: error: what", then where, expected, actual and hint on lines of their own. Coloured on a terminal
// only, and not when NO_COLOR is set (https://no-color.org).
void print_error(const Error& error);

bool stdin_is_terminal();

// From the first call on, Ctrl-C (SIGINT), SIGTERM and the end of the terminal (SIGHUP) set the flag instead
// of ending the process; the second of a kind ends it at once. A command may set it too, to stop what polls
// it.
std::atomic<bool>& watch_interrupt();
// What a command that was ended by one of them exits with: 128 + the signal, as shells report it.
int interrupted_status();

// From now on, a mapped file that becomes shorter or cannot be read from its disk while it is used ends the
// process with one line on stderr and ErrorCode::io, instead of the bare SIGBUS the system sends.
void explain_lost_files();

}  // namespace trine::cli
