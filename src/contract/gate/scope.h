#pragma once

#include "contract/gate/gate.h"

#include <cstddef>
#include <string>
#include <vector>

namespace trine::contract {

// What a run was asked to leave out, as far as its result does not tell.
struct RunScope {
  bool quick = false;
  std::size_t all_prompts = 0;  // before --quick
  bool own_prompts = false;     // --prompts
};

// A leg R of fewer golden cases is said to be one.
inline constexpr std::size_t full_golden_cases = 8;

// What a complete run would have done and this one did not, a sentence each, for the receipt. Reads the
// result's legs, prompts, layers and goldens.
std::vector<std::string> left_out(const GateResult& result, const RunScope& scope);

}  // namespace trine::contract
