// trine contract: outputs and exit codes.
#include "cli/subprocess.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

namespace trine::test {
namespace {

const std::string contracts = TRINE_SOURCE_DIR "/contracts";

Outcome run_contract(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "contract");
  return run_trine(std::move(arguments));
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("not there: " + from);
  return text.replace(at, from.size(), to);
}

TEST(ContractCommand, ValidateSaysWhatIsWrongAndWhere) {
  const Outcome good = run_contract({"validate", contracts});
  EXPECT_EQ(good.status, 0) << good.out << good.err;
  EXPECT_EQ(good.out, "0 error(s), 0 warning(s)\nContract is valid.\n");
  EXPECT_EQ(run_contract({"validate", contracts + "/backend-parity-v1.yaml"}).status, 0);

  const test::TemporaryFolder folder;
  const std::string text =
      replaced(file_bytes(contracts + "/moe-router-v1.yaml"), "check: router.ties", "check: router.tie");
  const std::string file = folder.write("moe-router-v1.yaml", text);
  const Outcome bad = run_contract({"validate", file});
  EXPECT_EQ(bad.status, 5);
  EXPECT_TRUE(contains(bad.out, "[ERROR] unknown-check: " + file + ":")) << bad.out;
  EXPECT_TRUE(contains(bad.out, "\n1 error(s), 0 warning(s)\n")) << bad.out;
  EXPECT_FALSE(contains(bad.out, "Contract is valid."));
}

TEST(ContractCommand, ValidateExitsWithTwoWithoutAContract) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(run_contract({"validate", folder.path()}).status, 2);
  EXPECT_EQ(run_contract({"validate", folder.path() + "/absent.yaml"}).status, 2);
  EXPECT_EQ(run_contract({"list", "--contracts", folder.path()}).status, 2);
}

TEST(ContractCommand, WhatIsNoContractFileIsTold) {
  const test::TemporaryFolder folder;
  const std::string large = folder.write("large-v1.yaml", std::string(300000, ' '));
  const Outcome limit = run_contract({"validate", large});
  EXPECT_EQ(limit.status, 5) << limit.err;
  EXPECT_TRUE(contains(
      limit.out, "[ERROR] limits: " + large + ": the file has 300000 bytes; a contract has at most 262144\n"))
      << limit.out;
  folder.write("raw-v1.yaml",
               replaced(file_bytes(contracts + "/moe-router-v1.yaml"), "title: ", "title: \xff"));
  const Outcome raw = run_contract({"validate", folder.path() + "/raw-v1.yaml"});
  EXPECT_EQ(raw.status, 5) << raw.err;
  EXPECT_TRUE(contains(raw.out, ": byte 0xff is no UTF-8\n")) << raw.out;
  EXPECT_EQ(raw.out.find('\xff'), std::string::npos);

  const std::string pipe = folder.path() + "/pipe-v1.yaml";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(run_contract({"validate", pipe}).status, 3);
  std::filesystem::create_directory(folder.path() + "/folder-v1.yaml");
  const Outcome all = run_contract({"validate", folder.path()});
  EXPECT_EQ(all.status, 5) << all.err;
  EXPECT_TRUE(contains(all.out, "\n4 error(s), 0 warning(s)\n")) << all.out;
  for (const char* action : {"list", "graph"}) {
    const Outcome outcome = run_contract({action, "--contracts", folder.path()});
    EXPECT_EQ(outcome.status, 5) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
}

TEST(ContractCommand, ListShowAndGraph) {
  const Outcome list = run_contract({"list", "--contracts", contracts});
  EXPECT_EQ(list.status, 0) << list.err;
  EXPECT_TRUE(contains(list.out, "qwen3-moe-forward-gpu-v1"));
  const Outcome show = run_contract({"show", "moe-router-v1", "--contracts", contracts});
  EXPECT_EQ(show.status, 0) << show.err;
  EXPECT_TRUE(contains(show.out, "FALSIFY-MOE-ROUTER-003") && contains(show.out, "weight error <= 1e-06"))
      << show.out;
  const Outcome graph = run_contract({"graph", "--contracts", contracts});
  EXPECT_TRUE(graph.out.starts_with("flowchart TD\n"));
  EXPECT_TRUE(contains(graph.out, "  moe-expert-dispatch-v1 --> moe-router-v1\n"));
  const Outcome unknown = run_contract({"show", "moe-ruoter-v1", "--contracts", contracts});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_TRUE(contains(unknown.err, "Did you mean moe-router-v1?")) << unknown.err;
}

TEST(ContractCommand, RunReportsEachBackend) {
  const Outcome run =
      run_contract({"run", "moe-router-v1", "--contracts", contracts, "--json", "--threads", "2"});
  EXPECT_EQ(run.status, 0) << run.err;
  const auto json = nlohmann::json::parse(run.out);
  EXPECT_EQ(json["threads"], 2);
  EXPECT_EQ(json["summary"]["fail"], 0);
  std::size_t passed = 0;
  for (const auto& one : json["runs"]) {
    const bool here = one["backend"] == "reference" || one["backend"] == "cpu";
    if (here) {
      EXPECT_EQ(one["verdict"], "pass") << one.dump();
      EXPECT_FALSE(one["figures"].empty());
      ++passed;
    } else if (one["verdict"] != "pass") {
      EXPECT_FALSE(one["reason"].get<std::string>().empty()) << one.dump();
    }
  }
  EXPECT_EQ(passed, 10u);
}

TEST(ContractCommand, RunExercisesTheSampler) {
  const Outcome run = run_contract({"run", "sampling-v1", "--contracts", contracts});
  EXPECT_EQ(run.status, 0) << run.out << run.err;
  EXPECT_TRUE(contains(run.out, "\n4 passed, 0 failed, 0 refused, 0 not run. What ran, holds.\n")) << run.out;
}

TEST(ContractCommand, RunExecutesCommands) {
  const Outcome run = run_contract({"run", "tensor-names-v1", "--contracts", contracts});
  EXPECT_EQ(run.status, 0) << run.out << run.err;
  const test::TemporaryFolder folder;
  folder.write("tensor-names-v1.yaml",
               replaced(file_bytes(contracts + "/tensor-names-v1.yaml"), "command: trine inspect",
                        "command: trine inspect /no/such.gguf"));
  const Outcome failing = run_contract({"run", "tensor-names-v1", "--contracts", folder.path()});
  EXPECT_EQ(failing.status, 5) << failing.out << failing.err;
  EXPECT_TRUE(contains(failing.out, "ended with exit code 3")) << failing.out;
  EXPECT_TRUE(contains(failing.out, "\n           usual cause: ")) << failing.out;
  EXPECT_TRUE(contains(failing.out, "Something does not hold.\n")) << failing.out;
}

// One line each for what ran, with a figure and its bound, and one reason for all that did not.
TEST(ContractCommand, RunReadsAsOneLinePerTest) {
  const Outcome run = run_contract({"run", "moe-router-v1", "--contracts", contracts});
  ASSERT_EQ(run.status, 0) << run.out << run.err;
  std::istringstream lines(run.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_TRUE(line.starts_with("moe-router-v1 ") && contains(line, ": The MoE router")) << line;
  std::size_t passes = 0;
  while (std::getline(lines, line) && line.starts_with("  pass     FALSIFY-MOE-ROUTER-")) {
    EXPECT_TRUE(contains(line, ", must be <= ") || contains(line, ", must be == ")) << line;
    ++passes;
  }
  EXPECT_GE(passes, 5u);
  const std::string absent = "this build has no cuda backend";
  if (!contains(run.out, absent)) return;
  EXPECT_TRUE(contains(run.out, "\n\nNot run, which is no pass:\n  5 tests on cuda: " + absent)) << run.out;
  EXPECT_EQ(run.out.find(absent), run.out.rfind(absent)) << run.out;
}

TEST(ContractCommand, NoHeadingStandsAboveNothing) {
  const Outcome run = run_contract({"run", "streaming-sse-v1", "--contracts", contracts});
  EXPECT_TRUE(run.out.starts_with("Not run, which is no pass:\n")) << run.out;
}

TEST(ContractCommand, ThreadsOfTheRunAreTold) {
  const auto json =
      nlohmann::json::parse(run_contract({"run", "sampling-v1", "--contracts", contracts, "--json"}).out);
  const auto devices = nlohmann::json::parse(run_trine({"devices", "--json"}).out);
  EXPECT_EQ(json["threads"], devices["cpu"]["topology"]["default_threads"]);
}

TEST(ContractCommand, AModelThatIsNamedMustBeThere) {
  const Outcome run =
      run_contract({"run", "sampling-v1", "--contracts", contracts, "-m", "/nowhere/model.gguf"});
  EXPECT_EQ(run.status, 3) << run.err;
  EXPECT_EQ(run.out, "");
}

TEST(ContractCommand, WhatDidNotRunIsNoPass) {
  const Outcome server = run_contract({"run", "streaming-sse-v1", "--contracts", contracts});
  EXPECT_EQ(server.status, 5) << server.out;
  EXPECT_TRUE(
      contains(server.out, "\n0 passed, 0 failed, 0 refused, 3 not run. Nothing ran, which is no pass.\n"))
      << server.out;
}

// A backend that this build lacks is named, and asking for it by name is an error.
TEST(ContractCommand, AnAbsentBackendIsNeverAPass) {
  const Outcome run =
      run_contract({"run", "swiglu-kernel-v1", "--contracts", contracts, "--backend", "wgpu"});
  if (run.status == 0) GTEST_SKIP() << "this build has the wgpu backend";
  EXPECT_TRUE(run.status == 9 || run.status == 14) << run.status << run.err;
  EXPECT_TRUE(
      contains(run.out, "\n0 passed, 0 failed, 0 refused, 8 not run. Nothing ran, which is no pass.\n"))
      << run.out;
}

TEST(ContractCommand, ADeviceIsOneBackends) {
  const Outcome run =
      run_contract({"run", "moe-router-v1", "--contracts", contracts, "--device", "llvmpipe"});
  EXPECT_EQ(run.status, 2) << run.out;
  EXPECT_TRUE(contains(run.err, "--backend")) << run.err;
}

// What a software adapter passes, it passes as one.
TEST(ContractCommand, ASoftwareAdapterIsLabelledOnEveryLine) {
  const nlohmann::json devices = nlohmann::json::parse(run_trine({"devices", "--json"}).out);
  std::string index;
  const nlohmann::json adapters = devices["backends"][2].value("adapters", nlohmann::json::array());
  for (std::size_t i = 0; i < adapters.size(); ++i)
    if (adapters[i]["type"] == "software") index = std::to_string(i);
  if (index.empty()) GTEST_SKIP() << "there is no software adapter here";
  const std::vector<std::string> arguments = {
      "run", "swiglu-kernel-v1", "--contracts", contracts, "--backend", "wgpu", "--device", index};
  const Outcome text = run_contract(arguments);
  EXPECT_EQ(text.status, 0) << text.out << text.err;
  const std::string note = "software adapter: correctness only, counts as no GPU";
  std::istringstream lines(text.out);
  std::size_t passed = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("  pass ")) continue;
    ++passed;
    EXPECT_TRUE(contains(line, note)) << line;
  }
  EXPECT_GE(passed, 5u) << text.out;
}

// A bound the contract tightened past what the check holds is refused, not passed.
TEST(ContractCommand, TheContractsBoundsDecide) {
  const test::TemporaryFolder folder;
  const std::string text = file_bytes(contracts + "/moe-router-v1.yaml");
  folder.write("moe-router-v1.yaml", replaced(text, "\"<= 1e-7\"", "\"<= 1e-3\""));
  const Outcome loosened =
      run_contract({"run", "moe-router-v1", "--contracts", folder.path(), "--backend", "reference"});
  EXPECT_EQ(loosened.status, 5) << loosened.out;
  EXPECT_TRUE(contains(loosened.out, "the check held 'distance from 1/k' to <= 1e-07")) << loosened.out;
}

TEST(ContractCommand, AnInvalidContractIsNotRun) {
  const test::TemporaryFolder folder;
  folder.write("moe-router-v1.yaml",
               replaced(file_bytes(contracts + "/moe-router-v1.yaml"), "if_fails:", "if_failed:"));
  const Outcome run = run_contract({"run", "--contracts", folder.path()});
  EXPECT_EQ(run.status, 5);
  EXPECT_TRUE(contains(run.err, "a contract is not valid")) << run.err;
  EXPECT_TRUE(run.out.empty()) << run.out;
}

TEST(ContractCommand, DiffTellsWhatAnAmendmentChanges) {
  const test::TemporaryFolder folder;
  const std::string before = contracts + "/moe-router-v1.yaml";
  const std::string after =
      folder.write("moe-router-v1.yaml", replaced(file_bytes(before), "\"<= 1e-7\"", "\"<= 1e-8\""));
  const Outcome diff = run_contract({"diff", before, after});
  EXPECT_EQ(diff.status, 0) << diff.err;
  EXPECT_EQ(
      diff.out,
      "test FALSIFY-MOE-ROUTER-005: bound on 'distance from 1/k' tightened from <= 1e-07 to <= 1e-08\n");
  EXPECT_EQ(run_contract({"diff", before, before}).out, "no difference\n");
}

TEST(ContractCommand, MisuseIsAUsageError) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"verify"},
                                                    {"show"},
                                                    {"diff", "a"},
                                                    {"list", "extra"},
                                                    {"list", "--json"},
                                                    {"graph", "--backend", "cpu"},
                                                    {"run", "--backend", "metal"},
                                                    {"run", "no-such-v1", "--contracts", contracts},
                                                    {"validate", contracts, "--contracts", contracts}}) {
    const Outcome outcome = run_contract(arguments);
    EXPECT_EQ(outcome.status, 2) << (arguments.empty() ? "" : arguments[0]) << outcome.out << outcome.err;
  }
}

}  // namespace
}  // namespace trine::test
