// Any bytes are a trace or an error, and a trace of finite numbers is within tolerance of itself.
#include "base/check.h"
#include "contract/trace_diff.h"
#include "contract/trace_file.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trine::contract;
  const auto file = TraceFile::parse(std::as_bytes(std::span(data, size)), "fuzz.trace");
  if (!file) {
    trine::check(!to_string(file.error()).empty(), "an error says something");
    return 0;
  }
  bool finite = true;
  std::vector<float> values;
  for (std::size_t slot = 0; slot < file->slots().size(); ++slot) {
    const TraceSlot& one = file->slots()[slot];
    trine::check(file->index_of(one.stage, one.layer) == slot, "a slot is found by its name");
    for (std::int64_t row = 0; row < one.rows; ++row) {
      file->read_row(slot, row, values);
      for (const float value : values) finite = finite && std::isfinite(value);
    }
  }
  const auto diff = diff_traces(*file, *file, {});
  trine::check(diff.has_value() == !file->slots().empty(), "a trace can be compared with itself");
  if (diff) trine::check(!diff->first == finite, "a trace equals itself when its values are numbers");
  return 0;
}
