#include "cli/contract_tools.h"

#include "base/number_text.h"
#include "cli/console.h"
#include "cli/options.h"
#include "contract/judge/judge.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <system_error>

namespace trine::cli {
namespace {

namespace fs = std::filesystem;
using contract::Figure;
using contract::Line;

// The worst sample: the smallest where the bound is from below, else the largest.
std::string figure_text(const Figure& figure) {
  if (figure.bound.starts_with(">=")) return fmt::format("{} {}", figure.name, cosine_text(figure.min));
  return fmt::format("{} {:.3g}", figure.name, figure.max);
}

// What a pass was measured by: the first figure that the contract bounds, else the first.
std::string evidence_text(const contract::FalsifierRun& run) {
  if (!run.command.empty()) return fmt::format("'{}' succeeded", run.command);
  const std::vector<Figure>& figures = run.result.figures;
  if (figures.empty()) return "every statement of the test held";
  auto shown = std::find_if(figures.begin(), figures.end(),
                            [&](const Figure& figure) { return figure.name == run.headline; });
  if (shown == figures.end()) shown = figures.begin();
  std::string text = figure_text(*shown);
  if (!shown->bound.empty()) text += fmt::format(", must be {}", shown->bound);
  if (figures.size() > 1) text += fmt::format(" (and {})", plural(figures.size() - 1, "more figure"));
  return text;
}

void append_list(std::string& text, std::string_view heading, const std::vector<Line>& lines) {
  if (lines.empty()) return;
  text += fmt::format("\n{}\n", heading);
  for (const Line& line : lines) text += fmt::format("  {}\n", line.text);
}

std::string joined(const std::vector<Line>& lines) {
  std::vector<std::string> texts;
  for (const Line& line : lines) texts.push_back(line.text);
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string test_text(const contract::Falsifier& test) {
  std::string text = fmt::format("  {}\n    predicts  {}\n", test.id, test.prediction);
  text += test.check.empty() ? fmt::format("    runs      {}\n", test.command)
                             : fmt::format("    checks    {}\n", test.check);
  if (!test.backends.empty()) text += fmt::format("    on        {}\n", joined(test.backends));
  for (const contract::Bound& bound : test.bounds)
    text += fmt::format("    bound     {} {}\n", bound.figure, bound.text());
  return text + fmt::format("    if fails  {}\n", test.if_fails);
}

}  // namespace

Result<std::string> find_contracts(const std::string& folder) {
  if (!folder.empty()) return folder;
  std::error_code problem;
  const fs::path executable = fs::read_symlink("/proc/self/exe", problem);
  std::vector<fs::path> places = {executable.parent_path().parent_path() / "share" / "trine" / "contracts"};
  for (fs::path up = executable.parent_path(); !up.empty(); up = up.parent_path()) {
    places.push_back(up / "contracts");
    if (up == up.parent_path()) break;
  }
  std::vector<std::string> looked;
  for (const fs::path& place : places) {
    if (fs::is_directory(place, problem)) return place.string();
    looked.push_back(place.string());
  }
  return fail({.code = ErrorCode::file_not_found,
               .what = "the contracts were not found",
               .where = fmt::format("{}", fmt::join(looked, ", ")),
               .hint = "Name their folder with --contracts DIR"});
}

contract::CheckResult run_trine_command(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "trine");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int problem = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) return contract::not_run(fmt::format("cannot start it: {}", std::strerror(problem)));

  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return contract::not_run("cannot wait for it");
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return contract::judge_exit_code(code, fmt::format("{}", fmt::join(words, " ")));
}

std::string to_text(const contract::FalsifierRun& run) {
  const contract::CheckResult& result = run.result;
  return fmt::format("  {:<8} {:<36} {:<10} {}{}\n", contract::name_of(result.verdict), run.test, run.backend,
                     result.reason.empty() ? evidence_text(run) : result.reason,
                     run.note.empty() ? "" : fmt::format(" [{}]", run.note));
}

std::string not_run_text(std::span<const contract::FalsifierRun> runs) {
  constexpr std::size_t most_names = 3;
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> tests;  // by backend and reason
  for (const contract::FalsifierRun& run : runs)
    if (run.result.verdict == contract::Verdict::not_run)
      tests[{run.backend, run.result.reason}].push_back(run.test);
  std::string text;
  for (const auto& [key, names] : tests) {
    const auto& [backend, reason] = key;
    text += fmt::format("  {}{}: {}\n", plural(names.size(), "test"), backend.empty() ? "" : " on " + backend,
                        printable(reason));
    if (names.size() <= most_names) text += fmt::format("    {}\n", fmt::join(names, ", "));
  }
  return text.empty() ? text : "Not run, which is no pass:\n" + text;
}

nlohmann::ordered_json falsifier_run_json(const contract::FalsifierRun& run) {
  const contract::CheckResult& result = run.result;
  nlohmann::ordered_json out = {{"contract", run.contract}, {"version", run.version}, {"test", run.test}};
  if (run.check.empty())
    out["command"] = run.command;
  else
    out["check"] = run.check;
  if (!run.backend.empty()) out["backend"] = run.backend;
  if (!run.note.empty()) out["note"] = run.note;
  out["verdict"] = contract::name_of(result.verdict);
  if (!result.reason.empty()) out["reason"] = result.reason;
  out["figures"] = nlohmann::ordered_json::array();
  for (const Figure& figure : result.figures)
    out["figures"].push_back({{"name", figure.name},
                              {"min", figure.min},
                              {"median", figure.median},
                              {"max", figure.max},
                              {"n", figure.n},
                              {"bound", figure.bound}});
  if (const auto& first = result.first_divergence)
    out["first_divergence"] = {{"stage", model::name_of(first->stage)},
                               {"layer", first->layer},
                               {"prompt", first->prompt},
                               {"row", first->row},
                               {"cosine", first->cosine},
                               {"relative_l2", first->relative_l2}};
  if (!result.swaps.empty()) {
    out["swaps"] = nlohmann::ordered_json::array();
    for (const contract::ExpertSwap& swap : result.swaps)
      out["swaps"].push_back({{"prompt", swap.prompt},
                              {"row", swap.row},
                              {"layer", swap.layer},
                              {"expected", swap.expected},
                              {"actual", swap.actual},
                              {"margin", swap.margin},
                              {"measured_error", swap.measured_error},
                              {"excused", swap.excused}});
  }
  return out;
}

std::string describe(const contract::Contract& contract) {
  std::string text =
      fmt::format("{} {}: {}\n\n{}\n", contract.id, contract.version, contract.title, contract.summary);
  append_list(text, "References", contract.references);
  append_list(text, "Depends on", contract.depends_on);
  text += "\nEquations\n";
  for (const contract::Equation& equation : contract.equations) {
    text += fmt::format("  {:<20} {}\n", equation.id, equation.formula);
    if (!equation.meaning.empty()) text += fmt::format("  {:<20} {}\n", "", equation.meaning);
  }
  append_list(text, "Preconditions", contract.preconditions);
  append_list(text, "Invariants", contract.invariants);
  text += "\nObligations\n";
  for (const contract::Obligation& obligation : contract.obligations)
    text += fmt::format("  {:<20} {}\n  {:<20} shown by {}\n", obligation.id, obligation.property, "",
                        joined(obligation.tests));
  if (!contract.stages.empty()) text += "\nStages\n";
  for (const contract::StageRecord& stage : contract.stages) {
    const bool shipped = stage.status == contract::StageStatus::shipped;
    text += fmt::format("  {:<8} {:<18} {}\n", shipped ? "SHIPPED" : "PLANNED", stage.id, stage.title);
    if (!stage.evidence.empty()) text += fmt::format("  {:<27} evidence: {}\n", "", joined(stage.evidence));
  }
  text += "\nTests\n";
  for (const contract::Falsifier& test : contract.tests) text += test_text(test);
  text += "\nAmendments\n";
  for (const contract::Amendment& amendment : contract.amendments)
    for (std::size_t i = 0; i < amendment.changes.size(); ++i)
      text += fmt::format("  {:<8} {:<10}  {}\n", i == 0 ? amendment.version : "",
                          i == 0 ? amendment.date : "", amendment.changes[i].text);
  return text;
}

}  // namespace trine::cli
