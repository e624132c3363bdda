#include "contract/spec/validate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>

namespace trine::contract {
namespace {

using Ids = std::map<std::string, std::string, std::less<>>;  // id -> where it was given first

class Validator {
 public:
  Validator(std::span<const ParsedContract> contracts, const KnownNames& known)
      : contracts_(contracts), known_(known) {
    for (const ParsedContract& parsed : contracts)
      for (const Falsifier& test : parsed.contract.tests) all_tests_.insert(test.id);
  }

  std::vector<Finding> run() {
    for (const ParsedContract& parsed : contracts_) {
      const std::size_t first = findings_.size();
      findings_.insert(findings_.end(), parsed.findings.begin(), parsed.findings.end());
      contract_ = &parsed.contract;
      check_names();
      check_obligations();
      for (const Falsifier& test : contract_->tests) check_test(test);
      for (const StageRecord& stage : contract_->stages) check_stage(stage);
      check_amendments();
      check_dependencies();
      std::stable_sort(findings_.begin() + static_cast<std::ptrdiff_t>(first), findings_.end(),
                       [](const Finding& a, const Finding& b) { return a.line < b.line; });
    }
    return std::move(findings_);
  }

 private:
  void report(std::string rule, std::string message, int line, Level level = Level::error) {
    findings_.push_back({level, std::move(rule), std::move(message), contract_->file, line});
  }

  // Parsing has already complained about an empty id.
  void claim(Ids& ids, const std::string& id, int line) {
    if (id.empty()) return;
    const auto [at, is_new] = ids.emplace(id, fmt::format("{}:{}", contract_->file, line));
    if (!is_new) report("duplicate-id", fmt::format("'{}' is used already, at {}", id, at->second), line);
  }

  void check_names() {
    const std::string stem = std::filesystem::path(contract_->file).stem().string();
    if (!contract_->id.empty() && contract_->id != stem)
      report("file-name", fmt::format("contract '{}' lies in '{}.yaml'", contract_->id, stem),
             contract_->id_line);
    claim(ids_, contract_->id, contract_->id_line);
    Ids equations;
    for (const Equation& equation : contract_->equations) claim(equations, equation.id, equation.line);
    for (const Obligation& obligation : contract_->obligations) claim(ids_, obligation.id, obligation.line);
    for (const StageRecord& stage : contract_->stages) claim(ids_, stage.id, stage.line);
    for (const Falsifier& test : contract_->tests) claim(ids_, test.id, test.line);
  }

  bool has_test(std::string_view id) const {
    const auto& tests = contract_->tests;
    return std::any_of(tests.begin(), tests.end(), [&](const Falsifier& test) { return test.id == id; });
  }

  void check_obligations() {
    std::set<std::string, std::less<>> used;
    for (const Obligation& obligation : contract_->obligations) {
      for (const Line& test : obligation.tests) {
        used.insert(test.text);
        if (!has_test(test.text))
          report("obligation-test",
                 fmt::format("{} is to be shown by '{}', which is no test of this file", obligation.id,
                             test.text),
                 test.line);
      }
    }
    for (const Falsifier& test : contract_->tests)
      if (!test.id.empty() && used.count(test.id) == 0)
        report("unused-test", fmt::format("no obligation names {}", test.id), test.line, Level::warning);
  }

  void check_test(const Falsifier& test) {
    if (test.check.empty() == test.command.empty())
      report("test-action",
             fmt::format("{} has {} a check and a command; it needs one of them", test.id,
                         test.check.empty() ? "neither" : "both"),
             test.line);
    if (!test.check.empty() && !known_.is_check(test.check))
      report("unknown-check",
             fmt::format("{} names the check '{}', which is not registered", test.id, test.check), test.line);
    if (!test.command.empty()) check_command(test);
    std::set<std::string> backends;
    for (const Line& backend : test.backends) {
      const bool exists = std::find(std::begin(backend_names), std::end(backend_names), backend.text) !=
                          std::end(backend_names);
      if (!exists)
        report("unknown-backend",
               fmt::format("there is no backend '{}', only {}", backend.text, fmt::join(backend_names, ", ")),
               backend.line);
      else if (!backends.insert(backend.text).second)
        report("unknown-backend", fmt::format("backend '{}' is named twice", backend.text), backend.line);
    }
    std::set<std::string> bounds;
    for (const Bound& bound : test.bounds)
      if (!bounds.insert(bound.relation + bound.figure).second)
        report("duplicate-bound", fmt::format("'{}' is bounded twice", bound.figure), bound.line);
  }

  void check_command(const Falsifier& test) {
    const std::vector<std::string> arguments = trine_arguments(test.command);
    if (arguments.empty())
      report("unknown-command", fmt::format("'{}' is no command of trine: 'trine NAME …'", test.command),
             test.line);
    else if (std::find(std::begin(test_commands), std::end(test_commands), arguments[0]) ==
             std::end(test_commands))
      report(
          "unknown-command",
          fmt::format("a test cannot run 'trine {}', only {}", arguments[0], fmt::join(test_commands, ", ")),
          test.line);
  }

  void check_stage(const StageRecord& stage) {
    if (stage.evidence.empty())
      report("stage-evidence", fmt::format("{} names no evidence", stage.id), stage.line);
    if (stage.status == StageStatus::shipped) {
      for (const Line& evidence : stage.evidence) check_evidence(stage, evidence);
    } else if (!stage.evidence.empty() && !known_.project.empty() &&
               std::all_of(stage.evidence.begin(), stage.evidence.end(),
                           [&](const Line& evidence) { return is_project_file(evidence.text); })) {
      report("stage-evidence", fmt::format("{} is PLANNED, and all its evidence is there", stage.id),
             stage.line);
    }
  }

  bool is_project_file(const std::string& text) const {
    namespace fs = std::filesystem;
    const fs::path path(text);
    const bool inside = path.is_relative() && std::none_of(path.begin(), path.end(),
                                                           [](const fs::path& part) { return part == ".."; });
    std::error_code problem;
    return inside && fs::is_regular_file(fs::path(known_.project) / path, problem);
  }

  void check_evidence(const StageRecord& stage, const Line& evidence) {
    if (all_tests_.count(evidence.text) != 0 || known_.is_check(evidence.text)) return;
    if (known_.project.empty()) {
      report("stage-evidence",
             fmt::format("'{}' was not looked for: the contracts lie outside the project", evidence.text),
             evidence.line, Level::info);
      return;
    }
    if (!is_project_file(evidence.text))
      report("stage-evidence",
             fmt::format("evidence '{}' of {} is no test, no check and no file of the project", evidence.text,
                         stage.id),
             evidence.line);
  }

  void check_amendments() {
    const std::vector<Amendment>& all = contract_->amendments;
    Version previous, version;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!parse_version(all[i].version, version)) return;  // reported by its form
      if (i > 0 && !(version > previous))
        report("amendment-order", fmt::format("version {} follows {}", all[i].version, all[i - 1].version),
               all[i].line);
      if (i > 0 && all[i].date < all[i - 1].date)
        report("amendment-order", fmt::format("{} comes after {}", all[i].date, all[i - 1].date),
               all[i].line);
      previous = version;
    }
    if (!all.empty() && !contract_->version.empty() && all.back().version != contract_->version)
      report("amendment-order",
             fmt::format("the newest amendment is {}, the contract's version {}", all.back().version,
                         contract_->version),
             contract_->version_line);
  }

  const Contract* find(std::string_view id) const {
    for (const ParsedContract& parsed : contracts_)
      if (parsed.contract.id == id) return &parsed.contract;
    return nullptr;
  }

  void check_dependencies() {
    std::set<std::string> named;
    for (const Line& dependency : contract_->depends_on) {
      if (!named.insert(dependency.text).second)
        report("depends-on", fmt::format("'{}' is named twice", dependency.text), dependency.line);
      else if (dependency.text == contract_->id)
        report("depends-on", "a contract cannot depend on itself", dependency.line);
      else if (find(dependency.text) == nullptr)
        report("depends-on", fmt::format("there is no contract '{}' in this folder", dependency.text),
               dependency.line);
      else if (reaches(dependency.text, contract_->id))
        report("dependency-cycle", fmt::format("'{}' depends on this contract too", dependency.text),
               dependency.line);
    }
  }

  // Whether `to` is among the dependencies of `from`, at any depth.
  bool reaches(const std::string& from, const std::string& to) const {
    std::vector<std::string> open = {from};
    std::set<std::string> seen;
    while (!open.empty()) {
      const std::string id = std::move(open.back());
      open.pop_back();
      if (id == to) return true;
      const Contract* contract = seen.insert(id).second ? find(id) : nullptr;
      if (contract == nullptr) continue;
      for (const Line& next : contract->depends_on) open.push_back(next.text);
    }
    return false;
  }

  std::span<const ParsedContract> contracts_;
  const KnownNames& known_;
  const Contract* contract_ = nullptr;
  std::set<std::string, std::less<>> all_tests_;
  Ids ids_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> validate(std::span<const ParsedContract> contracts, const KnownNames& known) {
  return Validator(contracts, known).run();
}

Result<std::vector<Finding>> validate_path(const std::string& path, const KnownNames& known) {
  namespace fs = std::filesystem;
  TRINE_TRY(std::vector<ParsedContract> asked, read_contracts(path));
  std::error_code problem;
  if (fs::is_directory(path, problem)) return validate(asked, known);
  // Its neighbours come first, so that an id used twice is found in the file that was asked about.
  std::vector<ParsedContract> all;
  const fs::path folder = fs::path(path).has_parent_path() ? fs::path(path).parent_path() : fs::path(".");
  if (auto neighbours = read_contracts(folder.string())) {
    for (ParsedContract& one : *neighbours)
      if (!fs::equivalent(one.contract.file, path, problem)) all.push_back(std::move(one));
  }
  all.push_back(std::move(asked.front()));
  std::vector<Finding> findings = validate(all, known);
  std::erase_if(findings, [&](const Finding& finding) { return finding.file != path; });
  return findings;
}

std::string project_of(const std::string& contracts_folder) {
  namespace fs = std::filesystem;
  std::error_code problem;
  const fs::path folder = fs::weakly_canonical(contracts_folder, problem);
  const fs::path parent = folder.parent_path();
  const bool is_ours = fs::is_regular_file(parent / "CMakeLists.txt", problem) &&
                       fs::is_regular_file(parent / "src" / "contract" / "checks" / "checks.h", problem);
  return is_ours ? parent.string() : std::string();
}

std::vector<std::string> trine_arguments(std::string_view command) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < command.size();) {
    const std::size_t end = std::min(command.find(' ', at), command.size());
    if (end > at) words.emplace_back(command.substr(at, end - at));
    at = end + 1;
  }
  if (words.size() < 2 || words[0] != "trine") return {};
  words.erase(words.begin());
  return words;
}

}  // namespace trine::contract
