// Any bytes are a trace or an error, and a trace of finite numbers and possible experts is within tolerance
// of itself.
#include "base/check.h"
#include "contract/trace/diff.h"
#include "contract/trace/file.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

namespace {

bool are_sound(const std::vector<float>& values, trine::model::Stage stage) {
  for (const float value : values) {
    if (!std::isfinite(value)) return false;
    if (stage == trine::model::Stage::expert_ids && (value < 0 || std::trunc(value) != value)) return false;
  }
  return stage != trine::model::Stage::expert_ids ||
         std::set<float>(values.begin(), values.end()).size() == values.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trine::contract;
  const auto file = TraceFile::parse(std::as_bytes(std::span(data, size)), "fuzz.trace");
  if (!file) {
    trine::check(!to_string(file.error()).empty(), "an error says something");
    return 0;
  }
  bool sound = true;
  std::vector<float> values;
  for (std::size_t slot = 0; slot < file->slots().size(); ++slot) {
    const TraceSlot& one = file->slots()[slot];
    trine::check(file->index_of(one.stage, one.layer) == slot, "a slot is found by its name");
    for (std::int64_t row = 0; row < one.rows; ++row) {
      file->read_row(slot, row, values);
      sound = are_sound(values, one.stage) && sound;
    }
  }
  const auto diff = diff_traces(*file, *file, {});
  trine::check(diff.has_value() == !file->slots().empty(), "a trace can be compared with itself");
  if (diff) trine::check(!diff->first == sound, "a trace equals itself when its values can be so");
  return 0;
}
