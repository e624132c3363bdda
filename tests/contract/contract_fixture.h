#pragma once

#include "contract/spec/document.h"
#include "contract/spec/validate.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace trine::test {

// A small contract with every kind of part and nothing wrong, line by line: tests spoil one of these.
inline const std::vector<std::string> good_contract = {
    /*  1 */ "metadata:",
    /*  2 */ "  id: sample-v1",
    /*  3 */ "  version: 1.1.0",
    /*  4 */ "  title: A sample",
    /*  5 */ "  summary: What it is for",
    /*  6 */ "  references: [\"A paper\"]",
    /*  7 */ "  depends_on: []",
    /*  8 */ "equations:",
    /*  9 */ "  - id: one",
    /* 10 */ "    formula: \"a = b\"",
    /* 11 */ "preconditions: [b is finite]",
    /* 12 */ "invariants: [a is finite]",
    /* 13 */ "obligations:",
    /* 14 */ "  - id: AC_SAMPLE_001",
    /* 15 */ "    property: a is b",
    /* 16 */ "    tests: [FALSIFY-SAMPLE-001]",
    /* 17 */ "stages:",
    /* 18 */ "  - id: M-SAMPLE-1.0",
    /* 19 */ "    title: First step",
    /* 20 */ "    status: SHIPPED",
    /* 21 */ "    evidence: [sample.check]",
    /* 22 */ "amendments:",
    /* 23 */ "  - version: 1.0.0",
    /* 24 */ "    date: 2026-01-02",
    /* 25 */ "    changes: [First version]",
    /* 26 */ "  - version: 1.1.0",
    /* 27 */ "    date: 2026-02-03",
    /* 28 */ "    changes: [Second version]",
    /* 29 */ "tests:",
    /* 30 */ "  - id: FALSIFY-SAMPLE-001",
    /* 31 */ "    prediction: a equals b",
    /* 32 */ "    check: sample.check",
    /* 33 */ "    backends: [cpu]",
    /* 34 */ "    bounds:",
    /* 35 */ "      - {figure: error, must_be: \"<= 1e-6\"}",
    /* 36 */ "    if_fails: Look at b",
};

// The sample with line `at` (from 1) replaced by `with` (nothing: left out), joined.
inline std::string sample(std::size_t at = 0, const std::vector<std::string>& with = {}) {
  std::string text;
  for (std::size_t line = 1; line <= good_contract.size(); ++line) {
    if (line != at) text += good_contract[line - 1] + "\n";
    if (line == at)
      for (const std::string& one : with) text += one + "\n";
  }
  return text;
}

inline contract::KnownNames sample_names() {
  contract::KnownNames known;
  known.is_check = [](std::string_view name) { return name == "sample.check"; };
  known.project = TRINE_SOURCE_DIR;
  return known;
}

inline std::vector<contract::Finding> findings_of(const std::vector<std::string>& texts,
                                                  const std::vector<std::string>& files) {
  std::vector<contract::ParsedContract> parsed;
  for (std::size_t i = 0; i < texts.size(); ++i)
    parsed.push_back(contract::parse_contract(texts[i], files[i]));
  return contract::validate(parsed, sample_names());
}
inline std::vector<contract::Finding> findings_of(const std::string& text) {
  return findings_of({text}, {"sample-v1.yaml"});
}

inline std::string joined(const std::vector<contract::Finding>& findings) {
  std::string text;
  for (const contract::Finding& finding : findings) text += to_string(finding) + "\n";
  return text;
}

// Exactly one finding: this rule on this line.
inline void expect_only(const std::string& text, const std::string& rule, int line) {
  const auto findings = findings_of(text);
  ASSERT_EQ(findings.size(), 1u) << joined(findings) << text;
  EXPECT_EQ(findings[0].rule, rule) << joined(findings);
  EXPECT_EQ(findings[0].line, line) << joined(findings);
}

}  // namespace trine::test
