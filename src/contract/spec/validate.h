#pragma once

#include "contract/spec/document.h"

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::contract {

// What contracts may refer to outside their folder.
struct KnownNames {
  std::function<bool(std::string_view name)> is_check;  // registered in the CheckRegistry
  std::string project;  // the folder that evidence files are relative to; empty: the project is not here
};

// Findings over a folder of contracts, those of their form included, in order of file and line:
//   missing, wrong-type, unknown-key, duplicate-key, bad-id, version, yaml, limits   from parse_contract()
//   file-name          the id is not the file's stem
//   duplicate-id       an id is used twice: contracts, obligations, stages and tests in the folder, equations
//                      in the file
//   obligation-test    an obligation names a test that this file lacks
//   unused-test        (warning) a test that no obligation names
//   test-action        a test has neither check nor command, or both
//   unknown-check      a check that is not registered
//   unknown-command    a command that is not trine's
//   unknown-backend    a backend that does not exist, or is named twice
//   duplicate-bound    a figure is bounded twice the same way
//   stage-evidence     a stage without evidence, a SHIPPED one whose evidence does not exist, a PLANNED one
//                      whose files are all there
//   amendment-order    versions that do not increase, dates that fall, or a newest version that is not the
//                      file's
//   depends-on         a contract that the folder lacks, itself, or one named twice
//   dependency-cycle   contracts that depend on each other in a circle
std::vector<Finding> validate(std::span<const ParsedContract> contracts, const KnownNames& known);

// The findings about one file, or about every contract of a folder. A file's ids and dependencies are held
// against the other contracts of its folder. Errors: those of read_contracts().
Result<std::vector<Finding>> validate_path(const std::string& path, const KnownNames& known);

// The project that a folder of contracts belongs to, for KnownNames::project: the folder's parent when it is
// Trine's source tree, else empty.
std::string project_of(const std::string& contracts_folder);

// What a falsification test may run of trine: commands that only read, and end by themselves. Not `contract`,
// which would start itself.
inline constexpr std::string_view test_commands[] = {"inspect", "tokenize", "detokenize", "devices",
                                                     "version"};

// "trine devices --json" split at blanks: {"devices", "--json"}. Empty when the command is not trine's.
std::vector<std::string> trine_arguments(std::string_view command);

}  // namespace trine::contract
