#pragma once

namespace trine::cli {

// Runs the command that the arguments name and prints its error, if any. The exit status.
int run_program(int argc, char** argv);

}  // namespace trine::cli
