// Any bytes are a contract or a list of findings, never a crash; what is said of them has a line that exists.
#include "base/check.h"
#include "contract/spec/diff.h"
#include "contract/spec/graph.h"
#include "contract/spec/validate.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trine::contract;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<ParsedContract> parsed = {parse_contract(text, "fuzz-v1.yaml")};
  KnownNames known;
  known.is_check = [](std::string_view name) { return name.starts_with("router."); };
  // yaml-cpp ends a line at \n, \r or \r\n.
  const auto breaks = std::count_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; });
  bool has_twins = !parsed[0].findings.empty();
  for (const Finding& finding : validate(parsed, known)) {
    trine::check(finding.line >= 0 && finding.line <= breaks + 1, "a finding's line is one of the file's");
    has_twins |= finding.rule.starts_with("duplicate-") || finding.rule == "amendment-order";
  }
  // Parts are paired by id, so only a contract whose ids differ equals itself.
  trine::check(has_twins || diff(parsed[0].contract, parsed[0].contract).empty(), "a contract equals itself");
  const std::vector<Contract> one = {parsed[0].contract};
  trine::check(!dependency_graph(one).empty(), "a graph has its first line");
  return 0;
}
