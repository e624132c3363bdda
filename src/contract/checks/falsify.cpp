#include "contract/checks/falsify.h"

#include "backend/registry.h"
#include "contract/judge/judge.h"
#include "contract/spec/validate.h"
#include "model/device_names.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>

namespace trine::contract {
namespace {

// The bound a check says it used, as numbers. False when it is none.
bool parse_bound(const std::string& text, Bound& bound) {
  const std::size_t space = text.find(' ');
  if (space == std::string::npos) return false;
  bound.relation = text.substr(0, space);
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data() + space + 1, end, bound.limit);
  return problem == std::errc{} && stop == end;
}

CheckResult run_one(const Falsifier& test, const CheckRegistry& registry, const FalsifyOptions& options,
                    const std::string& backend) {
  if (!test.command.empty()) {
    const std::vector<std::string> arguments = trine_arguments(test.command);
    if (arguments.empty()) return not_run("the command is not one of trine");
    if (!options.run_command) return not_run("this program runs no commands");
    return options.run_command(arguments);
  }
  const Check* check = registry.find(test.check);
  if (check == nullptr) return not_run(fmt::format("the check '{}' is not registered", test.check));
  CheckContext context;
  context.model_path = options.model_path;
  context.backend = backend;
  context.threads = options.threads;
  if (backend == options.backend) {
    context.device = options.device;
    context.without = options.without;
  }
  return check->run(context);
}

bool is_software_device(const std::string& backend, const std::string& device) {
  const backend::BackendEntry* entry = backend::find_backend(backend);
  if (entry == nullptr || !entry->built) return false;
  const Result<std::string> type = entry->device_type(device);
  return type && *type == model::software_type;
}

}  // namespace

CheckResult enforce_bounds(std::span<const Bound> bounds, CheckResult result) {
  if (result.verdict != Verdict::pass) return result;
  const auto change = [&](Verdict verdict, std::string reason) {
    result.verdict = verdict;
    result.reason = std::move(reason);
    return result;
  };
  for (const Bound& bound : bounds) {
    const auto named = [&](const Figure& figure) { return figure.name == bound.figure; };
    const auto figure = std::find_if(result.figures.begin(), result.figures.end(), named);
    if (figure == result.figures.end() || figure->n == 0)
      return change(Verdict::refused,
                    fmt::format("the check did not measure '{}', which the contract bounds", bound.figure));
    if (!within(figure->min, figure->max, bound.relation, bound.limit))
      return change(Verdict::fail, fmt::format("'{}' spans {:.9g} to {:.9g}, and the contract says {}",
                                               bound.figure, figure->min, figure->max, bound.text()));
    Bound used;
    const bool same =
        parse_bound(figure->bound, used) && used.relation == bound.relation && used.limit == bound.limit;
    if (!same)
      return change(Verdict::refused,
                    fmt::format("the check held '{}' to {}, and the contract says {}", bound.figure,
                                figure->bound.empty() ? "nothing" : figure->bound, bound.text()));
  }
  return result;
}

CheckResult judge_exit_code(int code, std::string_view command) {
  CheckResult result;
  result.verdict = Verdict::pass;
  if (code == 0) return result;
  const bool absent = code == static_cast<int>(ErrorCode::feature_missing) ||
                      code == static_cast<int>(ErrorCode::backend_unavailable);
  result.verdict = absent ? Verdict::not_run : Verdict::fail;
  result.reason = fmt::format("'{}' ended with exit code {}", command, code);
  return result;
}

std::vector<FalsifierRun> run_falsifiers(const Contract& contract, const CheckRegistry& registry,
                                         const FalsifyOptions& options) {
  std::vector<FalsifierRun> runs;
  for (const Falsifier& test : contract.tests) {
    std::vector<std::string> backends;
    for (const Line& backend : test.backends)
      if (options.backend.empty() || options.backend == backend.text) backends.push_back(backend.text);
    if (test.backends.empty()) backends.emplace_back();
    for (const std::string& backend : backends) {
      FalsifierRun run{contract.id, contract.version, test.id, test.check, test.command, backend, {}};
      if (!test.bounds.empty()) run.headline = test.bounds.front().figure;
      if (is_software_device(backend, options.device)) run.note = model::software_note;
      run.result = enforce_bounds(test.bounds, run_one(test, registry, options, backend));
      if (options.on_result) options.on_result(run);
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

}  // namespace trine::contract
