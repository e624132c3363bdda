#pragma once

#include "contract/gate/runs.h"
#include "contract/trace/file.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trine::contract {

// Which slots of a model to trace. embed, final_norm and logits belong to no layer, so `layers` leaves them
// alone.
struct TraceSelection {
  std::vector<model::Stage> stages;  // empty: all
  std::vector<int> layers;           // empty: all

  bool has(model::Stage stage, int layer) const;
};
// In the order of a forward pass, with a row per token.
std::vector<TraceSlot> trace_slots(const model::Config& config, const TraceSelection& selection,
                                   std::int64_t rows);

// Writes a trace file while a forward pass runs: every row goes to its place on disk as it is delivered, so a
// long prompt needs no memory for it. The file appears under its name only when finish() succeeds.
class TraceWriter final : public RowSink {
 public:
  // Told of every piece written, in bytes; false ends the work. May be empty.
  using Progress = std::function<bool(std::uint64_t bytes)>;

  // Creates the file and reserves its space. Errors: usage (nothing selected), file_not_found (no such
  // folder), io.
  static Result<std::unique_ptr<TraceWriter>> create(const std::string& path, const TraceInfo& info,
                                                     std::vector<TraceSlot> slots, Progress progress);
  ~TraceWriter() override;  // removes the temporary file when finish() was not reached
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  bool wants(model::Stage stage, int layer) override;
  void take(model::Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override;

  // The first thing that went wrong: io, or inference when a backend delivers what it should not (a row twice
  // or that does not exist, another width).
  Result<void> status() const;
  bool stopped() const { return stopped_; }  // by `progress`
  // Checks that every row of every slot came exactly once, and renames; `may_replace` is asked where the name
  // is taken by then. Errors: those of status() and of `may_replace`, inference (a row is missing), io.
  Result<void> finish(const std::function<Result<void>()>& may_replace = [] { return Result<void>(); });

  std::uint64_t total_bytes() const { return data_start_ + data_bytes_; }

 private:
  struct Place {
    TraceSlot slot;
    std::uint64_t offset = 0;  // in the file
    std::vector<bool> delivered;
  };

  TraceWriter() = default;
  Result<void> open_temporary();
  Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;
  Result<void> write_rows(Place& place, std::int64_t first, std::int64_t rows, std::int64_t width,
                          std::span<const float> values);
  Place* find(model::Stage stage, int layer);

  std::string path_;
  std::string temporary_path_;  // empty when there is none to remove
  int descriptor_ = -1;
  std::uint64_t data_start_ = 0;
  std::uint64_t data_bytes_ = 0;
  std::vector<Place> places_;
  Progress progress_;
  bool stopped_ = false;
  std::optional<Error> error_;
};

// Rows of one forward() call. The same whatever is traced, so that a number does not depend on what else was
// asked for; bounds the logits held at once.
inline constexpr std::int32_t trace_batch_rows = 128;

// Runs the tokens from an empty cache, with logits of every row when `with_logits`, and hands every stage to
// `trace` (may be null). Returns the logits of the last batch. Stops early, without an error, once the
// trace's progress says so. Errors: those of forward() and of TraceWriter::status().
Result<std::vector<float>> run_traced(model::DeviceModel& device, std::span<const std::int32_t> tokens,
                                      bool with_logits, TraceWriter* trace);

}  // namespace trine::contract
