#pragma once

#include "base/error.h"
#include "contract/checks/checks.h"
#include "contract/checks/falsify.h"

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

namespace trine::cli {

// `folder`, or the contracts that came with the program: ../share/trine/contracts beside the executable, then
// contracts/ in the executable's directory or any directory above it. Errors: file_not_found, listing where
// it was looked for.
Result<std::string> find_contracts(const std::string& folder);

// Runs this program with other arguments, its output thrown away, and judges its exit code.
contract::CheckResult run_trine_command(const std::vector<std::string>& arguments);

// One falsifier's result on a line: verdict, test, backend, then the reason, or one figure for all with its
// bound.
std::string to_text(const contract::FalsifierRun& run);
// What did not run, by reason; empty when all did.
std::string not_run_text(std::span<const contract::FalsifierRun> runs);
nlohmann::ordered_json falsifier_run_json(const contract::FalsifierRun& run);

// What `contract show` prints.
std::string describe(const contract::Contract& contract);

}  // namespace trine::cli
