#pragma once

#include "base/error.h"
#include "contract/spec/finding.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trine::contract {

// A contract file (docs/contract-format.md) as data. Every part knows the line it stands on, from 1.

struct Line {
  std::string text;
  int line = 0;
};

struct Equation {
  std::string id;
  std::string formula;
  std::string meaning;  // may be empty
  int line = 0;
};

// What must be shown, and the tests of this file that show it.
struct Obligation {
  std::string id;  // AC_…
  std::string property;
  std::vector<Line> tests;
  int line = 0;
};

enum class StageStatus : std::uint8_t { planned, shipped };

// A step of the implementation. `evidence`: ids of tests, names of checks, or files of the project.
struct StageRecord {
  std::string id;  // M-…
  std::string title;
  StageStatus status = StageStatus::planned;
  std::vector<Line> evidence;
  int line = 0;
};

struct Amendment {
  std::string version;
  std::string date;  // YYYY-MM-DD
  std::vector<Line> changes;
  int line = 0;
};

// What a figure of a check's result must satisfy: its worst sample is held to `relation` `limit`.
struct Bound {
  std::string figure;    // Figure::name
  std::string relation;  // ">=", "<=" or "=="
  double limit = 0;
  int line = 0;

  std::string text() const;  // ">= 0.99999"
};

// A test that can show the contract broken. One of `check` and `command` is set.
struct Falsifier {
  std::string id;  // FALSIFY-…
  std::string prediction;
  std::string check;           // a name of the CheckRegistry
  std::string command;         // "trine …": passes when it exits with 0
  std::vector<Line> backends;  // what it judges, one run each; empty: it depends on no backend
  std::vector<Bound> bounds;
  std::string if_fails;
  int line = 0;
};

struct Contract {
  std::string file;
  std::string id;  // the file's stem
  std::string version;
  std::string title;
  std::string summary;
  int id_line = 0;
  int version_line = 0;
  std::vector<Line> references;
  std::vector<Line> depends_on;
  std::vector<Equation> equations;
  std::vector<Line> preconditions;
  std::vector<Line> invariants;
  std::vector<Obligation> obligations;
  std::vector<StageRecord> stages;
  std::vector<Amendment> amendments;
  std::vector<Falsifier> tests;
};

// Backends that a test may name; "reference" is the definition itself.
inline constexpr std::string_view backend_names[] = {"reference", "cpu", "cuda", "wgpu"};

// A version "1.2.3" as numbers. False when the text is none.
struct Version {
  std::uint32_t major = 0, minor = 0, patch = 0;
  auto operator<=>(const Version&) const = default;
};
bool parse_version(std::string_view text, Version& version);

// What could be read, and what is wrong with the file's form: YAML, unknown, duplicate and missing keys,
// wrong types, malformed ids, versions, dates and bounds. Rules that need meaning are in validate.h.
struct ParsedContract {
  Contract contract;
  std::vector<Finding> findings;
};
ParsedContract parse_contract(std::string_view text, std::string file);

// One file, or every *.yaml of a folder in order of name; what cannot be read in a folder is a finding.
// Errors: usage (the path does not exist, or the folder holds no contract), file_not_found and io from
// reading the one file.
Result<std::vector<ParsedContract>> read_contracts(const std::string& path);

}  // namespace trine::contract
