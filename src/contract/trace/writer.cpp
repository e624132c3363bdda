#include "contract/trace/writer.h"

#include "base/check.h"
#include "base/file.h"
#include "contract/judge/stage_compare.h"
#include "model/open_slot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <utility>

namespace trine::contract {
namespace {

using model::Stage;

tl::unexpected<Error> bad_delivery(std::string what, const TraceSlot& slot, std::string expected,
                                   std::string actual) {
  return fail({.code = ErrorCode::inference,
               .what = std::move(what),
               .where = slot_name(slot.stage, slot.layer),
               .expected = std::move(expected),
               .actual = std::move(actual)});
}

template <typename T>
bool contains(const std::vector<T>& list, T value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

bool TraceSelection::has(Stage stage, int layer) const {
  if (!stages.empty() && !contains(stages, stage)) return false;
  return layers.empty() || !model::is_per_layer(stage) || contains(layers, layer);
}

std::vector<TraceSlot> trace_slots(const model::Config& config, const TraceSelection& selection,
                                   std::int64_t rows) {
  std::vector<TraceSlot> slots;
  const auto add = [&](Stage stage, int layer) {
    if (selection.has(stage, layer)) slots.push_back({stage, layer, rows, stage_width(config, stage)});
  };
  const Slots all(config);
  for (std::size_t i = 0; i < all.size(); ++i) add(all.at(i).stage, all.at(i).layer);
  add(Stage::logits, -1);
  return slots;
}

// ---- Writing ----

Result<std::unique_ptr<TraceWriter>> TraceWriter::create(const std::string& path, const TraceInfo& info,
                                                         std::vector<TraceSlot> slots, Progress progress) {
  if (slots.empty()) return fail(ErrorCode::usage, "nothing is selected to be traced");
  std::unique_ptr<TraceWriter> writer(new TraceWriter);
  writer->path_ = path;
  writer->progress_ = std::move(progress);
  const std::string header = trace_header(info, slots);
  if (header.size() > max_trace_header_bytes)
    return fail({.code = ErrorCode::usage,
                 .what = "the trace's header would be too long",
                 .where = path,
                 .expected = fmt::format("at most {} bytes", max_trace_header_bytes),
                 .actual = fmt::format("{}", header.size()),
                 .hint = "Trace a shorter prompt"});
  writer->data_start_ = header.size();
  for (const TraceSlot& slot : slots) {
    writer->places_.push_back(
        {slot, writer->total_bytes(), std::vector<bool>(static_cast<std::size_t>(slot.rows), false)});
    writer->data_bytes_ += slot.bytes();
  }
  TRINE_CHECK_OK(writer->open_temporary());
  TRINE_CHECK_OK(writer->write_at(0, std::as_bytes(std::span(header))));
  return writer;
}

TraceWriter::~TraceWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

Result<void> TraceWriter::open_temporary() {
  do {
    temporary_path_ = temporary_name(link_target(path_));
    descriptor_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) {
    temporary_path_.clear();
    return system_error("cannot create file", path_);
  }
  // Tells of a full disk before the work; not every file system can.
  const auto size = static_cast<off_t>(total_bytes());
  if (::fallocate(descriptor_, 0, 0, size) == 0) return {};
  if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)
    return system_error(fmt::format("no room for {} bytes", size), path_);
  if (::ftruncate(descriptor_, size) != 0) return system_error("cannot size file", path_);
  return {};
}

Result<void> TraceWriter::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const std::size_t chunk = std::min<std::size_t>(bytes.size(), std::size_t{1} << 30);
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), chunk, static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return system_error("cannot write file", path_);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

TraceWriter::Place* TraceWriter::find(Stage stage, int layer) {
  const TraceSlot wanted{stage, layer, 0, 0};
  const auto found = std::lower_bound(
      places_.begin(), places_.end(), wanted,
      [](const Place& place, const TraceSlot& slot) { return comes_before(place.slot, slot); });
  return found == places_.end() || comes_before(wanted, found->slot) ? nullptr : &*found;
}

bool TraceWriter::wants(Stage stage, int layer) {
  return !error_ && !stopped_ && find(stage, layer) != nullptr;
}

void TraceWriter::take(Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
                       std::span<const float> values) {
  // A backend may offer what was not asked for, and go on after wants() has said no.
  if (!wants(stage, layer)) return;
  auto written = write_rows(*find(stage, layer), first_row + first, rows, width, values);
  if (!written) error_ = std::move(written).error();
  if (progress_ && !progress_(values.size_bytes())) stopped_ = true;
}

Result<void> TraceWriter::write_rows(Place& place, std::int64_t first, std::int64_t rows, std::int64_t width,
                                     std::span<const float> values) {
  const TraceSlot& slot = place.slot;
  if (rows < 0 || first < 0 || first > slot.rows || rows > slot.rows - first)
    return bad_delivery("the backend delivered rows that do not exist", slot,
                        fmt::format("0 to {}", slot.rows - 1), fmt::format("{} from {} on", rows, first));
  if (width != slot.width || values.size() != static_cast<std::size_t>(rows * width))
    return bad_delivery("the backend delivered a stage of another shape", slot,
                        fmt::format("rows of {}", slot.width),
                        fmt::format("{} values as {} rows of {}", values.size(), rows, width));
  for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(first + rows); ++row) {
    if (place.delivered[row])
      return bad_delivery("the backend delivered a row twice", slot, {}, fmt::format("row {}", row));
    place.delivered[row] = true;
  }
  const std::uint64_t offset = static_cast<std::uint64_t>(first * width) * sizeof(float);
  return write_at(place.offset + offset, std::as_bytes(values));
}

Result<void> TraceWriter::status() const {
  if (error_) return fail(*error_);
  return {};
}

Result<void> TraceWriter::finish(const std::function<Result<void>()>& may_replace) {
  check(descriptor_ >= 0, "TraceWriter: finish twice");
  TRINE_CHECK_OK(status());
  for (const Place& place : places_) {
    const auto missing = std::find(place.delivered.begin(), place.delivered.end(), false);
    if (missing != place.delivered.end())
      return bad_delivery("the backend did not deliver a row", place.slot, {},
                          fmt::format("row {}", missing - place.delivered.begin()));
  }
  if (::fsync(descriptor_) != 0) return system_error("cannot write file to disk", path_);
  if (::close(std::exchange(descriptor_, -1)) != 0) return system_error("cannot close file", path_);
  TRINE_CHECK_OK(put_in_place(temporary_path_, link_target(path_), may_replace));
  temporary_path_.clear();
  return {};
}

// ---- Running ----

Result<std::vector<float>> run_traced(model::DeviceModel& device, std::span<const std::int32_t> tokens,
                                      bool with_logits, TraceWriter* trace) {
  TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(device));
  const auto most = static_cast<std::size_t>(std::min(trace_batch_rows, device.limits().rows));
  std::vector<float> logits;
  for (std::size_t begin = 0; begin < tokens.size(); begin += most) {
    const std::size_t end = std::min(tokens.size(), begin + most);
    model::Step step;
    for (std::size_t i = begin; i < end; ++i)
      step.rows.push_back({tokens[i], static_cast<std::int32_t>(i), slot.id(),
                           with_logits ? model::Wants::logits : model::Wants::nothing});
    if (trace != nullptr) trace->first_row = static_cast<std::int64_t>(begin);
    TRINE_TRY(model::StepOutput output, device.run(step, trace));
    logits = std::move(output.logits);
    if (trace == nullptr) continue;
    TRINE_CHECK_OK(trace->status());
    if (trace->stopped()) break;
  }
  return logits;
}

}  // namespace trine::contract
