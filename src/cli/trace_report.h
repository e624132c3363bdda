#pragma once

#include "contract/trace/diff.h"
#include "contract/trace/file.h"

#include <span>
#include <string>

namespace trine::cli {

// What `trine trace` says of slots and of a comparison.

// Layers as they are asked for: "0,3-5"; rising, each once. Empty for none.
std::string layer_ranges(std::span<const int> layers);

// One line per stage: layers, rows, width and bytes.
std::string slots_table(std::span<const contract::TraceSlot> slots);
// The same as JSON text: an array of one object per stage.
std::string slots_json(std::span<const contract::TraceSlot> slots);

struct TraceComparison {
  const contract::TraceFile& a;
  const contract::TraceFile& b;
  const contract::TraceTolerance& tolerance;
  const contract::TraceDiff& diff;
  bool same_file = false;
};
std::string comparison_text(const TraceComparison& comparison);
std::string comparison_json(const TraceComparison& comparison);

}  // namespace trine::cli
