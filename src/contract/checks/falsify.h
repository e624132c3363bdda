#pragma once

#include "contract/checks/checks.h"
#include "contract/spec/document.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace trine::contract {

// One falsifier of one contract, run on one backend (or on none).
struct FalsifierRun {
  std::string contract;
  std::string version;
  std::string test;
  std::string check;  // as the contract has it; one of these two
  std::string command;
  std::string backend;  // empty when the test depends on none
  CheckResult result;
  std::string headline = {};  // the first figure that the contract bounds
  std::string note = {};      // what the backend's device counts as, when it is no GPU and stands for one
};

struct FalsifyOptions {
  std::string model_path;
  std::string backend;               // empty: every backend that a test names
  std::string device;                // of that backend; empty: its best
  std::vector<std::string> without;  // of its variants
  int threads = 0;
  // Runs "trine" with these arguments; absent: commands are not-run.
  std::function<CheckResult(const std::vector<std::string>& arguments)> run_command;
  std::function<void(const FalsifierRun&)> on_result;  // called as each is done; may be empty
};

// Runs the contract's falsifiers in order of the file. With `backend` set, tests that name backends and not
// this one are left out. A check that is not registered is not-run.
//
// The contract has the last word: a check that passes is judged again by the contract's bounds, so that no
// check can pass with a figure missing (refused), outside its bound (fail), or held to another bound than the
// contract states (refused).
std::vector<FalsifierRun> run_falsifiers(const Contract& contract, const CheckRegistry& registry,
                                         const FalsifyOptions& options);

// The result of a check in the light of the contract's bounds.
CheckResult enforce_bounds(std::span<const Bound> bounds, CheckResult result);

// What the commands of trine say by their exit code: 0 pass, 9 and 14 not-run (no such backend), else fail.
CheckResult judge_exit_code(int code, std::string_view command);

}  // namespace trine::contract
