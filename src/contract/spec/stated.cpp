#include "contract/spec/stated.h"

#include "base/check.h"

#include <algorithm>
#include <limits>
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

}  // namespace

std::vector<Bound> stated_bounds(std::string_view check, std::string_view backend) {
  std::vector<Bound> all;
  bool is_there = false;
  for (const Contract& contract : built_in())
    for (const Falsifier& test : contract.tests) {
      if (test.check != check || !is_of(test, backend)) continue;
      is_there = true;
      all.insert(all.end(), test.bounds.begin(), test.bounds.end());
    }
  trine::check(is_there, "a contract has a test with this check, for this backend");
  return all;
}

double limit_of(std::span<const Bound> bounds, std::string_view figure) {
  const auto found =
      std::find_if(bounds.begin(), bounds.end(), [&](const Bound& bound) { return bound.figure == figure; });
  return found == bounds.end() ? std::numeric_limits<double>::quiet_NaN() : found->limit;
}

}  // namespace trine::contract
