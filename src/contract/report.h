#pragma once

#include "contract/gate.h"
#include "contract/receipt.h"

#include <string>

namespace trine::contract {

// One self-contained HTML page over a run of the gate: verdict, heat map (layers × stages), worst prompts,
// expert swaps, identities.
std::string render_report(const Receipt& receipt, const GateResult& result);

}  // namespace trine::contract
