#include "contract/spec/graph.h"

#include <fmt/format.h>
#include <algorithm>
#include <vector>

namespace trine::contract {

std::string dependency_graph(std::span<const Contract> contracts) {
  std::vector<const Contract*> sorted;
  for (const Contract& contract : contracts) sorted.push_back(&contract);
  std::sort(sorted.begin(), sorted.end(), [](const Contract* a, const Contract* b) { return a->id < b->id; });
  std::string text = "flowchart TD\n";
  // Mermaid ends a label at a quote, and knows the entity.
  const auto label = [](std::string title) {
    for (std::size_t at = 0; (at = title.find('"', at)) != std::string::npos; at += 6)
      title.replace(at, 1, "#quot;");
    return title;
  };
  for (const Contract* contract : sorted)
    text += fmt::format("  {}[\"{} {}<br>{}\"]\n", contract->id, contract->id, contract->version,
                        label(contract->title));
  for (const Contract* contract : sorted)
    for (const Line& dependency : contract->depends_on)
      text += fmt::format("  {} --> {}\n", contract->id, dependency.text);
  return text;
}

}  // namespace trine::contract
