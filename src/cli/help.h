#pragma once

#include <string>

namespace CLI {
class App;
}

namespace trine::cli {

// The help of one command: what it does, usage, arguments, options by group, examples (the app's footer).
// Wrapped to 100 columns.
std::string help_text(const CLI::App& app);

}  // namespace trine::cli
