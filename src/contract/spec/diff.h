#pragma once

#include "contract/spec/document.h"

#include <string>
#include <vector>

namespace trine::contract {

// What differs between two versions of a contract, one sentence each, in the order of the file: parts added,
// removed and changed by id, and bounds that became tighter or looser. Empty when nothing a reader could rely
// on differs.
std::vector<std::string> diff(const Contract& before, const Contract& after);

}  // namespace trine::contract
