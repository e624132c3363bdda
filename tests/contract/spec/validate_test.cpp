// The rules that need meaning: one planted defect each, and the contracts of this project without any.
#include "contract/spec/validate.h"

#include "contract/checks/checks.h"
#include "contract/spec/yaml_tree.h"
#include "contract_fixture.h"

#include <sys/stat.h>
#include <filesystem>
#include <fstream>
#include <set>

namespace trine::test {
namespace {

using contract::Level;

const std::string contracts_dir = TRINE_SOURCE_DIR "/contracts";

contract::KnownNames project_names(const contract::CheckRegistry& registry) {
  contract::KnownNames known;
  known.is_check = [&registry](std::string_view name) { return registry.find(name) != nullptr; };
  known.project = TRINE_SOURCE_DIR;
  return known;
}

TEST(Validate, SampleIsValid) {
  EXPECT_EQ(joined(findings_of(sample())), "");
}

TEST(Validate, FileNameIsTheId) {
  const auto findings = findings_of({sample()}, {"other-v1.yaml"});
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(to_string(findings[0]),
            "[ERROR] file-name: other-v1.yaml:2: contract 'sample-v1' lies in 'other-v1.yaml'");
}

TEST(Validate, IdsAreUnique) {
  expect_only(sample(10, {"    formula: \"a = b\"", "  - id: one", "    formula: \"b = a\""}), "duplicate-id",
              11);
  expect_only(sample(16, {"    tests: [FALSIFY-SAMPLE-001]", "  - id: AC_SAMPLE_001", "    property: again",
                          "    tests: [FALSIFY-SAMPLE-001]"}),
              "duplicate-id", 17);
  // Also across files.
  std::string other = sample(2, {"  id: other-v1"});
  const auto findings = findings_of({sample(), other}, {"sample-v1.yaml", "other-v1.yaml"});
  ASSERT_EQ(findings.size(), 3u) << joined(findings);  // obligation, stage and test
  for (const auto& finding : findings) {
    EXPECT_EQ(finding.rule, "duplicate-id");
    EXPECT_EQ(finding.file, "other-v1.yaml");
  }
}

TEST(Validate, ObligationsNameTestsOfTheFile) {
  const auto findings = findings_of(sample(16, {"    tests: [FALSIFY-OTHER]"}));
  ASSERT_EQ(findings.size(), 2u) << joined(findings);
  EXPECT_EQ(findings[0].rule, "obligation-test");
  EXPECT_EQ(findings[0].line, 16);
  EXPECT_EQ(findings[1].rule, "unused-test");
  EXPECT_EQ(findings[1].line, 30);
  EXPECT_EQ(findings[1].level, Level::warning);
  EXPECT_EQ(contract::count(findings).errors, 1u);
  EXPECT_EQ(contract::count(findings).warnings, 1u);
}

TEST(Validate, TestsDoOneThing) {
  expect_only(sample(32), "test-action", 30);
  expect_only(sample(32, {"    check: sample.check", "    command: trine inspect"}), "test-action", 30);
  EXPECT_EQ(joined(findings_of(sample(32, {"    command: trine inspect --json"}))), "");
}

TEST(Validate, ChecksCommandsAndBackendsExist) {
  expect_only(sample(32, {"    check: sample.chekc"}), "unknown-check", 30);
  expect_only(sample(32, {"    command: trine insepct"}), "unknown-command", 30);
  expect_only(sample(32, {"    command: rm -rf x"}), "unknown-command", 30);
  for (const std::string starts_itself_or_writes :
       {"contract run", "verify", "synth -o x", "trace -o x", "run hi"})
    expect_only(sample(32, {"    command: trine " + starts_itself_or_writes}), "unknown-command", 30);
  expect_only(sample(33, {"    backends: [cpu, metal]"}), "unknown-backend", 33);
  expect_only(sample(33, {"    backends: [cpu, cpu]"}), "unknown-backend", 33);
  expect_only(sample(35, {good_contract[34], good_contract[34]}), "duplicate-bound", 36);
}

TEST(Validate, ShippedStagesHaveEvidence) {
  expect_only(sample(21), "stage-evidence", 18);
  expect_only(sample(21, {"    evidence: [no/such/file.cpp]"}), "stage-evidence", 21);
  expect_only(sample(21, {"    evidence: [src]"}), "stage-evidence", 21);  // a folder proves nothing
  expect_only(sample(21, {"    evidence: [../main/CMakeLists.txt]"}), "stage-evidence", 21);
  expect_only(sample(21, {"    evidence: [/etc/hostname]"}), "stage-evidence", 21);
}

// Both ways: what is shown has shipped, and what is not shown has not.
TEST(Validate, AStatusFollowsItsEvidence) {
  const auto planned = [](const std::string& evidence) {
    const std::string shown = "    evidence: [sample.check]\n";
    std::string text = sample(20, {"    status: PLANNED"});
    return text.replace(text.find(shown), shown.size(), evidence);
  };
  expect_only(planned("    evidence: [CMakeLists.txt]\n"), "stage-evidence", 18);
  expect_only(planned(""), "stage-evidence", 18);
  EXPECT_EQ(joined(findings_of(planned("    evidence: [no/such/file.cpp]\n"))), "");
  EXPECT_EQ(joined(findings_of(planned("    evidence: [CMakeLists.txt, no/such/file.cpp]\n"))), "");
}

TEST(Validate, EvidenceOutsideTheProjectIsOnlyNoted) {
  contract::KnownNames known = sample_names();
  known.project.clear();
  const std::vector<contract::ParsedContract> parsed = {
      contract::parse_contract(sample(21, {"    evidence: [CMakeLists.txt]"}), "sample-v1.yaml")};
  const auto findings = contract::validate(parsed, known);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].level, Level::info);
}

TEST(Validate, AmendmentsRiseToTheVersion) {
  expect_only(sample(23, {"  - version: 1.1.0"}), "amendment-order", 26);
  expect_only(sample(23, {"  - version: 1.2.0"}), "amendment-order", 26);
  expect_only(sample(24, {"    date: 2026-03-04"}), "amendment-order", 26);
  expect_only(sample(3, {"  version: 1.2.0"}), "amendment-order", 3);
}

TEST(Validate, DependenciesResolveWithoutCycles) {
  expect_only(sample(7, {"  depends_on: [missing-v1]"}), "depends-on", 7);
  expect_only(sample(7, {"  depends_on: [sample-v1]"}), "depends-on", 7);

  // Three contracts in a circle: each is told.
  const auto named = [](const std::string& id, const std::string& upper, const std::string& depends_on) {
    std::string text = sample(7, {"  depends_on: [" + depends_on + "]"});
    for (std::size_t at = 0; (at = text.find("sample-v1", at)) != std::string::npos;) text.replace(at, 9, id);
    for (std::size_t at = 0; (at = text.find("SAMPLE", at)) != std::string::npos; at += upper.size())
      text.replace(at, 6, upper);
    return text;
  };
  const auto findings =
      findings_of({named("a-v1", "A", "b-v1"), named("b-v1", "B", "c-v1"), named("c-v1", "C", "a-v1")},
                  {"a-v1.yaml", "b-v1.yaml", "c-v1.yaml"});
  ASSERT_EQ(findings.size(), 3u) << joined(findings);
  for (const auto& finding : findings) EXPECT_EQ(finding.rule, "dependency-cycle");
  const auto chain =
      findings_of({named("a-v1", "A", "b-v1"), named("b-v1", "B", "")}, {"a-v1.yaml", "b-v1.yaml"});
  EXPECT_EQ(joined(chain), "");
}

TEST(Validate, EveryContractOfTheProjectIsValid) {
  const contract::CheckRegistry registry = contract::builtin_checks();
  const auto findings = contract::validate_path(contracts_dir, project_names(registry));
  ASSERT_TRUE(findings) << to_string(findings.error());
  EXPECT_EQ(joined(*findings), "");
}

// What makes the test above worth something: a name that nobody registered is found.
TEST(Validate, ContractsOfTheProjectNeedTheRegistry) {
  const contract::CheckRegistry empty;
  const auto findings = contract::validate_path(contracts_dir, project_names(empty));
  ASSERT_TRUE(findings) << to_string(findings.error());
  std::size_t unknown = 0;
  for (const auto& finding : *findings) unknown += finding.rule == "unknown-check" ? 1 : 0;
  EXPECT_GT(unknown, 40u);
}

TEST(Validate, EveryRegisteredCheckIsUsed) {
  const auto contracts = contract::read_contracts(contracts_dir);
  ASSERT_TRUE(contracts) << to_string(contracts.error());
  std::set<std::string> used;
  for (const auto& parsed : *contracts)
    for (const auto& test : parsed.contract.tests) used.insert(test.check);
  const contract::CheckRegistry registry = contract::builtin_checks();
  for (const auto& [name, check] : registry.all()) EXPECT_TRUE(used.count(name)) << name;
}

TEST(Validate, TheAgreedIdsAreThere) {
  const auto contracts = contract::read_contracts(contracts_dir);
  ASSERT_TRUE(contracts) << to_string(contracts.error());
  std::set<std::string> ids;
  for (const auto& parsed : *contracts) {
    ids.insert(parsed.contract.id);
    for (const auto& one : parsed.contract.tests) ids.insert(one.id);
    for (const auto& one : parsed.contract.obligations) ids.insert(one.id);
    for (const auto& one : parsed.contract.stages) ids.insert(one.id);
  }
  std::vector<std::string> agreed = {"qwen3-moe-forward-v1",
                                     "qwen3-moe-forward-gpu-v1",
                                     "moe-router-v1",
                                     "moe-expert-dispatch-v1",
                                     "swiglu-kernel-v1",
                                     "tensor-names-v1",
                                     "tensor-layout-v1",
                                     "sampling-v1",
                                     "streaming-sse-v1",
                                     "serve-dispatch-v1",
                                     "trace-stages-v1",
                                     "backend-parity-v1",
                                     "FALSIFY-QW3-MOE-GPU-PARITY-001",
                                     "FALSIFY-QW3-MOE-GPU-PARITY-002",
                                     "FALSIFY-QW3-MOE-GPU-PRELOAD-001",
                                     "FALSIFY-QW3-MOE-GPU-INVARIANTS-001",
                                     "FALSIFY-QW3-MOE-GPU-DETERMINISM-001",
                                     "FALSIFY-QW3-MOE-GPU-MEMORY-001",
                                     "FALSIFY-QW3-MOE-GPU-THROUGHPUT-001",
                                     "FALSIFY-QW3-MOE-PER-LAYER-001",
                                     "M-GPU-MOE-1.0",
                                     "M-GPU-MOE-1.1.1",
                                     "M-GPU-MOE-1.1.2",
                                     "M-GPU-MOE-1.2",
                                     "M-GPU-MOE-1.3",
                                     "M-GPU-MOE-2.0",
                                     "M-GPU-MOE-2.1",
                                     "M-GPU-MOE-2.2",
                                     "M-GPU-MOE-2.3"};
  const auto numbered = [&](const std::string& prefix, int last) {
    for (int i = 1; i <= last; ++i) agreed.push_back(prefix + "00" + std::to_string(i));
  };
  numbered("AC_GPU_MOE_", 7);
  numbered("FALSIFY-MOE-ROUTER-", 5);
  numbered("FALSIFY-MOE-DISPATCH-", 7);
  numbered("FALSIFY-SG-", 8);
  for (const std::string& id : agreed) EXPECT_TRUE(ids.count(id)) << id;
}

TEST(Validate, PathsThatHoldNoContract) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "trine-no-contracts";
  std::filesystem::create_directories(folder);
  for (const std::string& path : {folder.string(), folder.string() + "/absent.yaml"}) {
    const auto findings = contract::validate_path(path, sample_names());
    ASSERT_FALSE(findings);
    EXPECT_EQ(findings.error().code, ErrorCode::usage);
  }
  std::filesystem::remove_all(folder);
}

// What cannot be read is a finding of its own, and hides nothing of the others.
TEST(Validate, EntriesThatAreNoContractFiles) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "trine-no-files";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder / "a-v1.yaml");
  ASSERT_EQ(::mkfifo((folder / "b-v1.yaml").c_str(), 0600), 0);
  std::filesystem::create_symlink("nowhere", folder / "c-v1.yaml");
  std::ofstream(folder / "d-v1.yaml") << std::string(contract::max_yaml_bytes + 1, ' ');
  std::ofstream(folder / "sample-v1.yaml") << sample(4, {});
  const auto findings = contract::validate_path(folder.string(), sample_names());
  ASSERT_TRUE(findings) << to_string(findings.error());
  const std::string at = folder.string() + "/";
  EXPECT_EQ(joined(*findings), "[ERROR] unreadable: " + at +
                                   "a-v1.yaml: cannot read file, expected a regular file: a directory\n"
                                   "[ERROR] unreadable: " +
                                   at +
                                   "b-v1.yaml: cannot read file, expected a regular file: a device or pipe\n"
                                   "[ERROR] unreadable: " +
                                   at + "c-v1.yaml: file not found\n[ERROR] limits: " + at +
                                   "d-v1.yaml: the file has 262145 bytes; a contract has at most 262144\n"
                                   "[ERROR] missing: " +
                                   at + "sample-v1.yaml:2: metadata has no 'title'\n");
  // Asked for alone, it is an error; as a neighbour it stands in nobody's way.
  const auto alone = contract::validate_path(at + "b-v1.yaml", sample_names());
  ASSERT_FALSE(alone);
  EXPECT_EQ(alone.error().code, ErrorCode::file_not_found);
  EXPECT_TRUE(contract::validate_path(at + "sample-v1.yaml", sample_names()));
  std::filesystem::remove_all(folder);
}

// One file is held against its folder, and only its own findings are told.
TEST(Validate, AFileIsReadWithItsNeighbours) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "trine-neighbours";
  std::filesystem::create_directories(folder);
  const std::string a = (folder / "sample-v1.yaml").string(), b = (folder / "broken-v1.yaml").string();
  std::ofstream(a) << sample();
  std::ofstream(b) << "metadata: nothing\n";
  const auto alone = contract::validate_path(a, sample_names());
  ASSERT_TRUE(alone) << to_string(alone.error());
  EXPECT_EQ(joined(*alone), "");
  const auto all = contract::validate_path(folder.string(), sample_names());
  ASSERT_TRUE(all) << to_string(all.error());
  EXPECT_GT(contract::count(*all).errors, 0u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace trine::test
