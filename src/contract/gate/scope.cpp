#include "contract/gate/scope.h"

#include <fmt/format.h>
#include <algorithm>

namespace trine::contract {
namespace {

using model::Numerics;

constexpr std::int64_t kv_page = 64;  // positions

std::string plural(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

void add_prompts(const GateResult& result, const RunScope& scope, std::vector<std::string>& left) {
  const PromptIdentity& prompts = result.prompts;
  if (scope.own_prompts) left.emplace_back("--prompts: the built-in prompts");
  if (scope.quick) {
    left.push_back(fmt::format("--quick: {} of {} prompts, one cut to {} tokens and the others to {}",
                               prompts.count, scope.all_prompts, quick_long_prompt, shortest_prompt));
  } else if (prompts.count < full_prompt_count) {
    left.push_back(
        fmt::format("{}, and a complete run has {}", plural(prompts.count, "prompt"), full_prompt_count));
  }
  if (prompts.longest <= kv_page)
    left.push_back(
        fmt::format("positions from {} on: no prompt crosses a page of the KV cache ({} positions)",
                    prompts.longest, kv_page));
  else if (prompts.longest < longest_prompt)
    left.push_back(
        fmt::format("positions from {} on, and a complete run has {}", prompts.longest, longest_prompt));
  if (prompts.count == 1) left.emplace_back("different prompts in one batch");
}

}  // namespace

std::vector<std::string> left_out(const GateResult& result, const RunScope& scope) {
  std::vector<std::string> left;
  add_prompts(result, scope, left);
  const std::int32_t run = result.model.layers_run, all = result.model.layers_in_file;
  if (run < all) left.push_back(fmt::format("--layers: only the first {} of {}", run, all));
  if (result.find('F', Numerics::fast) == nullptr) left.emplace_back("fast numerics (leg F)");
  if (result.find('X', Numerics::exact) == nullptr) left.emplace_back("exact numerics (leg X)");
  if (result.find('F', Numerics::fast) != nullptr && result.model.random_weights)
    left.emplace_back("a judgement of fast numerics (leg F): measured only, the weights are random");
  if (result.goldens && result.goldens->cases < full_golden_cases)
    left.push_back(fmt::format("leg R: {}, and a complete one has {}",
                               plural(result.goldens->cases, "golden case"), full_golden_cases));
  return left;
}

}  // namespace trine::contract
