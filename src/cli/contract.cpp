#include "backend/registry.h"
#include "base/thread_pool.h"
#include "base/topology.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/contract_tools.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/table.h"
#include "contract/spec/diff.h"
#include "contract/spec/graph.h"
#include "contract/spec/validate.h"
#include "gguf/file.h"
#include "trine_version.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

namespace trine::cli {
namespace {

using contract::Contract;
using contract::FalsifierRun;
using contract::Finding;
using contract::Verdict;

struct ContractOptions {
  std::string action;
  std::vector<std::string> arguments;
  std::string folder;
  std::string model;
  std::string backend;
  std::string device;
  std::vector<std::string> without;
  int threads = 0;
  bool json = false;
  std::vector<OptionRef> of_run;  // options that mean nothing to another action
};

contract::KnownNames known_names(const contract::CheckRegistry& registry, const std::string& folder) {
  contract::KnownNames known;
  known.is_check = [&registry](std::string_view name) { return registry.find(name) != nullptr; };
  known.project = contract::project_of(folder);
  return known;
}

void print_findings(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) write_out(printable(contract::to_string(finding)) + "\n");
}

// Folders and files; without one, the contracts that came with the program.
Result<int> validate(const ContractOptions& options) {
  const contract::CheckRegistry registry = contract::builtin_checks();
  std::string path;
  if (options.arguments.empty()) {
    TRINE_TRY(path, find_contracts(options.folder));
  } else {
    path = options.arguments[0];
    if (!options.folder.empty())
      return fail({.code = ErrorCode::usage, .what = "validate takes a path or --contracts, not both"});
  }
  std::error_code problem;
  const bool is_folder = std::filesystem::is_directory(path, problem);
  const std::string folder = is_folder ? path : std::filesystem::path(path).parent_path().string();
  TRINE_TRY(const auto findings, contract::validate_path(path, known_names(registry, folder)));
  print_findings(findings);
  const contract::FindingCount counts = contract::count(findings);
  write_out(fmt::format("{} error(s), {} warning(s)\n", counts.errors, counts.warnings));
  if (counts.errors > 0) return static_cast<int>(ErrorCode::validation_failed);
  write_out("Contract is valid.\n");
  return 0;
}

// The contracts to work with; an invalid one is refused, with what is wrong.
Result<std::vector<Contract>> load(const ContractOptions& options) {
  TRINE_TRY(const std::string folder, find_contracts(options.folder));
  const contract::CheckRegistry registry = contract::builtin_checks();
  TRINE_TRY(auto parsed, contract::read_contracts(folder));
  const std::vector<Finding> findings = contract::validate(parsed, known_names(registry, folder));
  for (const Finding& finding : findings)
    if (finding.level == contract::Level::error)
      return fail({.code = ErrorCode::validation_failed,
                   .what = "a contract is not valid",
                   .where = folder,
                   .actual = printable(contract::to_string(finding)),
                   .hint = "'trine contract validate' lists everything"});
  std::vector<Contract> contracts;
  for (contract::ParsedContract& one : parsed) contracts.push_back(std::move(one.contract));
  return contracts;
}

Result<Contract> pick(const std::vector<Contract>& contracts, const std::string& id) {
  std::vector<std::string> ids;
  for (const Contract& contract : contracts) {
    if (contract.id == id) return contract;
    ids.push_back(contract.id);
  }
  const std::string close = nearest(id, ids);
  return fail(
      {.code = ErrorCode::usage,
       .what = fmt::format("there is no contract '{}'", printable(id)),
       .hint = close.empty() ? "'trine contract list' lists them" : fmt::format("Did you mean {}?", close)});
}

Result<int> list(const ContractOptions& options) {
  TRINE_TRY(const auto contracts, load(options));
  Table table({"contract", "version", ">tests", ">shipped", "title"});
  for (const Contract& contract : contracts) {
    const auto shipped = std::count_if(contract.stages.begin(), contract.stages.end(), [](const auto& stage) {
      return stage.status == contract::StageStatus::shipped;
    });
    table.add({contract.id, contract.version, fmt::format("{}", contract.tests.size()),
               fmt::format("{} of {}", shipped, contract.stages.size()), contract.title});
  }
  write_out(table.text());
  return 0;
}

Result<int> show(const ContractOptions& options) {
  TRINE_TRY(const auto contracts, load(options));
  TRINE_TRY(const Contract contract, pick(contracts, options.arguments[0]));
  write_out(describe(contract));
  return 0;
}

// A contract by id, or as a file: an older version of one lies anywhere.
Result<Contract> one_side(const ContractOptions& options, const std::string& name) {
  std::error_code problem;
  if (!std::filesystem::is_regular_file(name, problem)) {
    TRINE_TRY(const auto contracts, load(options));
    return pick(contracts, name);
  }
  TRINE_TRY(auto parsed, contract::read_contracts(name));
  for (const Finding& finding : parsed[0].findings)
    return fail({.code = ErrorCode::validation_failed,
                 .what = "a contract is not valid",
                 .where = name,
                 .actual = printable(contract::to_string(finding))});
  return std::move(parsed[0].contract);
}

Result<int> diff(const ContractOptions& options) {
  TRINE_TRY(const Contract before, one_side(options, options.arguments[0]));
  TRINE_TRY(const Contract after, one_side(options, options.arguments[1]));
  const std::vector<std::string> changes = contract::diff(before, after);
  for (const std::string& change : changes) write_out(printable(change) + "\n");
  if (changes.empty()) write_out("no difference\n");
  return 0;
}

Result<int> graph(const ContractOptions& options) {
  TRINE_TRY(const auto contracts, load(options));
  write_out(contract::dependency_graph(contracts));
  return 0;
}

// Counts by verdict, and the exit status they mean.
struct Summary {
  std::map<Verdict, std::size_t> counts;
  void add(const FalsifierRun& run) { ++counts[run.result.verdict]; }
  std::size_t of(Verdict verdict) const {
    const auto at = counts.find(verdict);
    return at == counts.end() ? 0 : at->second;
  }
  bool holds() const { return of(Verdict::pass) > 0 && of(Verdict::fail) == 0 && of(Verdict::refused) == 0; }
};

// Asked for by name and not there: an error, whatever else passed.
Result<void> check_backend_ran(const std::vector<FalsifierRun>& runs, const std::string& backend,
                               const std::string& device) {
  if (backend.empty()) return {};
  std::string reason = "no test names it";
  for (const FalsifierRun& run : runs) {
    if (run.backend != backend) continue;
    if (run.result.verdict != Verdict::not_run) return {};
    reason = run.result.reason;
  }
  if (backend != "reference") {
    if (const auto choice = backend::choose_backend(backend, device); !choice) return fail(choice.error());
  }
  return fail({.code = ErrorCode::backend_unavailable,
               .what = fmt::format("nothing was judged on {}", backend),
               .actual = reason});
}

// The model for tests that need one. One that was named must be there; most tests need none, so without the
// demo model those that do are not-run.
Result<std::string> model_for_tests(const ContractOptions& options) {
  const auto model = find_model(options.model);
  if (options.model.empty()) return model ? model->path : "";
  TRINE_CHECK_OK(gguf::File::open(options.model));
  return options.model;
}

std::string usual_cause(const Contract& contract, const std::string& test) {
  for (const contract::Falsifier& falsifier : contract.tests)
    if (falsifier.id == test) return falsifier.if_fails;
  return {};
}

// A line for each test that ran, as it ends; the contract's name stands above its first.
class LiveReport {
 public:
  void show(const Contract& contract, const FalsifierRun& run) {
    if (run.result.verdict == Verdict::not_run) return;
    if (std::exchange(headed_, contract.id) != contract.id)
      write_out(fmt::format("{} {}: {}\n", contract.id, contract.version, contract.title));
    write_out(printable_line(to_text(run)));
    const std::string cause = usual_cause(contract, run.test);
    if (run.result.verdict == Verdict::fail && !cause.empty())
      write_out(fmt::format("           usual cause: {}\n", printable(cause)));
    flush_out();
  }
  bool anything() const { return !headed_.empty(); }

 private:
  static std::string printable_line(std::string line) {
    line.pop_back();
    return printable(line) + "\n";
  }
  std::string headed_;
};

std::string conclusion(const Summary& summary) {
  const std::string_view meaning = summary.holds()                 ? "What ran, holds."
                                   : summary.of(Verdict::fail) > 0 ? "Something does not hold."
                                   : summary.of(Verdict::refused) > 0
                                       ? "Something could not be judged as asked."
                                       : "Nothing ran, which is no pass.";
  return fmt::format("{} passed, {} failed, {} refused, {} not run. {}\n", summary.of(Verdict::pass),
                     summary.of(Verdict::fail), summary.of(Verdict::refused), summary.of(Verdict::not_run),
                     meaning);
}

std::string runs_json(const std::vector<FalsifierRun>& runs, const Summary& summary,
                      const contract::FalsifyOptions& options) {
  nlohmann::ordered_json out = {{"trine", {{"version", TRINE_VERSION}, {"commit", TRINE_COMMIT}}},
                                {"model", options.model_path},
                                {"threads", options.threads},
                                {"left_out", options.without},
                                {"runs", nlohmann::ordered_json::array()}};
  for (const FalsifierRun& one : runs) out["runs"].push_back(falsifier_run_json(one));
  for (const Verdict verdict : {Verdict::pass, Verdict::fail, Verdict::refused, Verdict::not_run})
    out["summary"][std::string(contract::name_of(verdict))] = summary.of(verdict);
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<int> run(const ContractOptions& options) {
  if (!options.device.empty() && options.backend.empty())
    return fail(
        {.code = ErrorCode::usage, .what = "--device is one backend's", .expected = "--backend beside it"});
  if (!options.without.empty() && options.backend.empty())
    return fail(
        {.code = ErrorCode::usage, .what = "--without is one backend's", .expected = "--backend beside it"});
  if (const auto* entry = backend::find_backend(options.backend); entry != nullptr && entry->built) {
    TRINE_CHECK_OK(entry->check_without(options.without));
  }
  TRINE_TRY(const std::string model, model_for_tests(options));
  TRINE_TRY(auto contracts, load(options));
  if (!options.arguments.empty()) {
    TRINE_TRY(Contract one, pick(contracts, options.arguments[0]));
    contracts.assign(1, std::move(one));
  }
  const contract::CheckRegistry registry = contract::builtin_checks();
  contract::FalsifyOptions falsify;
  falsify.model_path = model;
  falsify.backend = options.backend;
  falsify.device = options.device;
  falsify.without = options.without;
  falsify.threads = options.threads == 0 ? default_threads() : options.threads;
  falsify.run_command = run_trine_command;
  LiveReport report;
  std::vector<FalsifierRun> runs;
  for (const Contract& contract : contracts) {
    if (!options.json) {
      falsify.on_result = [&](const FalsifierRun& run) { report.show(contract, run); };
    }
    const std::vector<FalsifierRun> some = contract::run_falsifiers(contract, registry, falsify);
    runs.insert(runs.end(), some.begin(), some.end());
  }

  Summary summary;
  for (const FalsifierRun& one : runs) summary.add(one);
  if (options.json) {
    write_json(runs_json(runs, summary, falsify));
  } else {
    const std::string not_run = not_run_text(runs);
    write_out((report.anything() && !not_run.empty() ? "\n" : "") + not_run + "\n" + conclusion(summary));
  }
  TRINE_CHECK_OK(check_backend_ran(runs, options.backend, options.device));
  return summary.holds() ? 0 : static_cast<int>(ErrorCode::validation_failed);
}

struct ContractAction {
  std::string_view name;
  std::size_t fewest;  // arguments
  std::size_t most;
  std::string_view usage;
  Result<int> (*run)(const ContractOptions& options);
};

constexpr ContractAction actions[] = {
    {"validate", 0, 1, "validate [FILE|DIR]", validate},
    {"list", 0, 0, "list", list},
    {"show", 1, 1, "show ID", show},
    {"run", 0, 1, "run [ID]", run},
    {"diff", 2, 2, "diff A B", diff},
    {"graph", 0, 0, "graph", graph},
};

Result<int> dispatch(const ContractOptions& options) {
  for (const ContractAction& action : actions) {
    if (action.name != options.action) continue;
    const std::size_t n = options.arguments.size();
    if (n < action.fewest || n > action.most)
      return fail(
          {.code = ErrorCode::usage,
           .what = n < action.fewest
                       ? fmt::format("'trine contract {}' needs more arguments", action.name)
                       : fmt::format("unexpected argument '{}'", printable(options.arguments[action.most])),
           .expected = fmt::format("trine contract {}", action.usage)});
    for (const OptionRef& option : options.of_run)
      if (option.given() && action.name != "run")
        return fail({.code = ErrorCode::usage,
                     .what = fmt::format("'trine contract {}' has no {}", action.name, option.name()),
                     .hint = "It belongs to 'trine contract run'"});
    return action.run(options);
  }
  std::vector<std::string> names;
  for (const ContractAction& action : actions) names.emplace_back(action.name);
  const std::string close = nearest(options.action, names);
  return fail({.code = ErrorCode::usage,
               .what = fmt::format("unknown action '{}'", printable(options.action)),
               .expected = "validate, list, show, run, diff or graph",
               .hint = close.empty() ? "'trine contract --help' shows them"
                                     : fmt::format("Did you mean {}?", close)});
}

}  // namespace

Action define_contract(CLI::App& app) {
  const auto options = std::make_shared<ContractOptions>();
  describe(
      app,
      "Reads, checks and runs the contracts: what every backend must do, and the tests that would show it "
      "does not.\n"
      "validate [FILE|DIR] lists what is wrong with the form; exit 0 when nothing is, 5 when something is, 2 "
      "when there "
      "is no contract. list and graph give an overview, show ID one contract, diff A B what changed between "
      "two ids or "
      "files. run [ID] runs the falsification tests; exit 0 only when some passed and none failed or was "
      "refused, else "
      "5. What did not run is shown as not-run and is no pass.");
  add_text(app, "ACTION", options->action, "validate, list, show, run, diff or graph").required();
  add_text(app, "ARGUMENT", options->arguments, "file, folder or id, as the action takes it");
  add_text(app, "--contracts", options->folder,
           "folder of contracts; default: those that came with the program")
      .type_name("DIR");
  options->of_run.push_back(add_text(app, "-m,--model", options->model,
                                     "run: GGUF file for tests that need one; default: the demo model")
                                .type_name("FILE"));
  options->of_run.push_back(add_choice(app, "--backend", options->backend,
                                       {"reference", "cpu", "cuda", "wgpu"},
                                       "run: judge this one only; default: each that a test names"));
  options->of_run.push_back(add_text(app, "--device", options->device,
                                     "run: device of that backend, as trine run takes it; default: its best")
                                .type_name("NAME"));
  options->of_run.push_back(add_without(app, options->without));
  options->of_run.push_back(add_threads(app, options->threads, "run: threads"));
  options->of_run.push_back(
      add_flag(app, "--json", options->json, "run: print one JSON object").group("Output"));
  set_footer(app,
             "Examples:\n"
             "  trine contract validate contracts/\n"
             "  trine contract run moe-router-v1\n"
             "  trine contract run --backend cpu --threads 1 --json");
  return [options] { return dispatch(*options); };
}

}  // namespace trine::cli
