#pragma once

#include "contract/gate/gate.h"
#include "contract/receipt/receipt.h"

#include <string>
#include <string_view>

namespace trine::contract {

// A gate's result as one HTML page for a person to read: what was judged, how far each stage of each layer
// is from the reference, what broke first, and on what. It needs nothing else (no script, no network, no
// font), also where the result is refused or incomplete and no receipt can be made. `finished` is as in
// Receipt. The same arguments give the same bytes.
std::string to_html(const GateResult& result, const ToolIdentity& tool, std::string_view finished);

}  // namespace trine::contract
