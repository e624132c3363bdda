#pragma once

#include "contract/spec/document.h"

#include <span>
#include <string>

namespace trine::contract {

// Which contract rests on which, as a Mermaid flowchart: "a --> b" for "a depends on b". In order of name,
// ends with a newline.
std::string dependency_graph(std::span<const Contract> contracts);

}  // namespace trine::contract
