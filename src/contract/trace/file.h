#pragma once

#include "base/error.h"
#include "base/file.h"
#include "model/device_model.h"
#include "model/stage.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::contract {

// A trace file: stages of one forward pass over one prompt, row by row, and where they come from. The layout
// is that of safetensors, so other programs read it too; docs/trace-format.md describes it.
inline constexpr std::string_view trace_format = "trine-trace-1";
inline constexpr std::uint64_t max_trace_header_bytes = 64ull << 20;

// Who computed what. The same run on another number of threads has the same TraceInfo.
struct TraceInfo {
  std::string model_sha256;
  std::string model_name;
  std::vector<std::int32_t> tokens;  // the prompt; row r of every stage belongs to tokens[r]
  model::DeviceInfo device;          // backend, name, type, api, driver and numerics
  std::string program;               // "trine 0.1.0 (abcdef)"
};

// One stage of one layer: [rows][width] floats.
struct TraceSlot {
  model::Stage stage = model::Stage::embed;
  int layer = -1;  // -1 for a stage that belongs to no layer
  std::int64_t rows = 0;
  std::int64_t width = 0;

  std::uint64_t bytes() const {
    return static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(width) * sizeof(float);
  }
};
// "embed", "layer.3.moe_out".
std::string slot_name(model::Stage stage, int layer);
// The slot of a name, without rows and width; nothing when it is spelt in any other way.
std::optional<TraceSlot> parse_slot_name(std::string_view name);
// The order of a forward pass: embed, the stages of each layer, final_norm, logits.
bool comes_before(const TraceSlot& a, const TraceSlot& b);

// A trace file that was read. Values may be anything, NaN included; all else is checked.
class TraceFile {
 public:
  // Errors: file_not_found; validation_failed, naming what is wrong: a header that is cut off, too long or no
  // JSON of this format, a name that is no stage or comes twice, a type other than F32, shapes that are not
  // [tokens, width], data that overlaps, leaves holes or does not end with the file.
  static Result<TraceFile> open(const std::string& path);
  // The same of bytes that outlive the result. `path` is for errors.
  static Result<TraceFile> parse(std::span<const std::byte> bytes, const std::string& path);

  const std::string& path() const { return path_; }
  const TraceInfo& info() const { return info_; }
  // In the order of a forward pass.
  std::span<const TraceSlot> slots() const { return slots_; }
  // Index into slots(); slots().size() when the file has no such slot.
  std::size_t index_of(model::Stage stage, int layer) const;
  // Copies one row of a slot, resizing `values` to its width.
  void read_row(std::size_t slot, std::int64_t row, std::vector<float>& values) const;

 private:
  std::string path_;
  MappedFile file_;
  TraceInfo info_;
  std::vector<TraceSlot> slots_;
  std::vector<const std::byte*> data_;  // by slot
};

// The header of a file with these slots, their data in this order: its length in 8 bytes, JSON, and blanks up
// to a multiple of 8.
std::string trace_header(const TraceInfo& info, std::span<const TraceSlot> slots);

}  // namespace trine::contract
