#pragma once

#include "base/error.h"

#include <functional>

namespace CLI {
class App;
}

namespace trine::cli {

// What a command does once its flags are parsed and checked. The value is the exit status of a command that
// did not fail: 0, or 130 when Ctrl-C ended it early. An error is printed by run_program and becomes
// its code's exit status.
using Action = std::function<Result<int>()>;

// A command is one function that adds its flags to `app` (already named "trine NAME") and returns its action.
// Options live in a shared_ptr that the action captures. program.cpp holds the table of commands.
Action define_run(CLI::App& app);
Action define_inspect(CLI::App& app);
Action define_tokenize(CLI::App& app);
Action define_detokenize(CLI::App& app);
Action define_bench(CLI::App& app);
Action define_perplexity(CLI::App& app);
Action define_synth(CLI::App& app);
Action define_contract(CLI::App& app);
Action define_verify(CLI::App& app);
Action define_trace(CLI::App& app);
Action define_devices(CLI::App& app);
Action define_version(CLI::App& app);

}  // namespace trine::cli
