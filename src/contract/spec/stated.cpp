#include "contract/spec/stated.h"

#include "base/check.h"

#include <algorithm>
#include <string>

namespace trine::contract {
namespace {

const std::vector<Contract>& built_in() {
  static const std::vector<Contract> all = [] {
    std::vector<Contract> contracts;
    for (const EmbeddedFile& file : contract_files())
      contracts.push_back(parse_contract(file.text, std::string(file.name)).contract);
    return contracts;
  }();
  return all;
}

bool is_of(const Falsifier& test, std::string_view backend) {
  return backend.empty() || std::any_of(test.backends.begin(), test.backends.end(),
                                        [&](const Line& line) { return line.text == backend; });
}

const Bound* find_bound(std::span<const Bound> bounds, std::string_view figure) {
  const auto found =
      std::find_if(bounds.begin(), bounds.end(), [&](const Bound& bound) { return bound.figure == figure; });
  return found == bounds.end() ? nullptr : &*found;
}

}  // namespace

std::vector<Bound> stated_bounds(std::string_view check, std::string_view backend) {
  std::vector<Bound> all;
  bool is_there = false;
  for (const Contract& contract : built_in())
    for (const Falsifier& test : contract.tests) {
      if (test.check != check || !is_of(test, backend)) continue;
      is_there = true;
      for (const Bound& bound : test.bounds) {
        const Bound* known = find_bound(all, bound.figure);
        trine::check(known == nullptr || (known->relation == bound.relation && known->limit == bound.limit),
                     "contracts state one bound for a figure of a check");
        if (known == nullptr) all.push_back(bound);
      }
    }
  trine::check(is_there, "a contract has a test with this check, for this backend");
  return all;
}

const Bound& bound_of(std::span<const Bound> bounds, std::string_view figure) {
  const Bound* found = find_bound(bounds, figure);
  trine::check(found != nullptr, "contracts state a bound for this figure");
  return *found;
}

double limit_of(std::span<const Bound> bounds, std::string_view figure) {
  return bound_of(bounds, figure).limit;
}

}  // namespace trine::contract
