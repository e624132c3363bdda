#include "wgpu/gpu.h"
#include "wgpu/gpu_state.h"

#include <fmt/format.h>
#include <algorithm>
#include <cstring>
#include <utility>

namespace trine::wgpu {
namespace {

constexpr double patience_seconds = 60;

void on_mapped(WGPUMapAsyncStatus status, WGPUStringView text, void* user, void*) {
  Mapping& mapping = *static_cast<Mapping*>(user);
  const std::shared_ptr<Mapping> until_the_end = std::move(mapping.kept_for_callback);
  mapping.step = status == WGPUMapAsyncStatus_Success ? Mapping::Step::mapped : Mapping::Step::failed;
  mapping.message = to_string(text);
}

// Called once for each submission, in their order.
void on_work_done(WGPUQueueWorkDoneStatus /*status*/, WGPUStringView /*text*/, void* user, void*) {
  ++static_cast<Report*>(user)->completed;
}

}  // namespace

Commands Gpu::record(Timing timing) {
  Commands commands;
  commands.gpu_ = this;
  commands.timing_ = features().timestamps ? timing : Timing::nothing;
  if (Result<void> alive = state_->alive(); !alive) {
    commands.keep(std::move(alive).error());
    return commands;
  }
  commands.encoder_.reset(api().DeviceCreateCommandEncoder(state_->device, nullptr));
  if (Result<void> made = state_->outcome("commands cannot be recorded", adapter().name); !made)
    commands.keep(std::move(made).error());
  return commands;
}

Commands::~Commands() {
  pass_.reset();
}

void Commands::keep(Error error) {
  if (!error_) error_ = std::move(error);
}

void Commands::open_pass() {
  if (pass_ != nullptr) return;
  pass_.reset(api().CommandEncoderBeginComputePass(encoder_.get(), nullptr));
  pipeline_ = nullptr;
  if (timing_ == Timing::nothing) return;
  if (timing_ == Timing::passes) spans_.push_back({"pass", timestamps_});
  write_timestamp();
}

void Commands::close_pass() {
  if (pass_ == nullptr) return;
  if (timing_ == Timing::passes) write_timestamp();
  api().ComputePassEncoderEnd(pass_.get());
  pass_.reset();
}

void Commands::write_timestamp() {
  if (timestamps_ % timestamps_per_set == 0) {
    WGPUQuerySetDescriptor descriptor = {};
    descriptor.type = WGPUQueryType_Timestamp;
    descriptor.count = timestamps_per_set;
    queries_.emplace_back(api().DeviceCreateQuerySet(gpu_->state_->device, &descriptor));
  }
  const auto index = static_cast<std::uint32_t>(timestamps_ % timestamps_per_set);
  api().ComputePassEncoderWriteTimestamp(pass_.get(), queries_.back().get(), index);
  ++timestamps_;
}

void Commands::dispatch(const Dispatch& dispatch) {
  if (error_) return;
  const std::uint32_t largest = std::max({dispatch.x, dispatch.y, dispatch.z});
  if (std::min({dispatch.x, dispatch.y, dispatch.z}) == 0) return;
  if (dispatch.pipeline == nullptr || !*dispatch.pipeline || dispatch.bindings == nullptr ||
      !*dispatch.bindings) {
    keep({.code = ErrorCode::inference,
          .what = "a dispatch without a kernel or its buffers",
          .where = dispatch.pipeline == nullptr ? std::string() : dispatch.pipeline->name()});
    return;
  }
  const std::uint32_t limit = gpu_->limits().max_workgroups_per_dimension;
  if (largest > limit) {
    keep({.code = ErrorCode::inference,
          .what = "a dispatch with too many workgroups",
          .where = dispatch.pipeline->name(),
          .expected = fmt::format("at most {} in each dimension", limit),
          .actual = fmt::format("{} x {} x {}", dispatch.x, dispatch.y, dispatch.z)});
    return;
  }
  const Library& lib = api();
  open_pass();
  if (pipeline_ != dispatch.pipeline->handle_.get()) {
    pipeline_ = dispatch.pipeline->handle_.get();
    lib.ComputePassEncoderSetPipeline(pass_.get(), pipeline_);
  }
  lib.ComputePassEncoderSetBindGroup(pass_.get(), 0, dispatch.bindings->handle_.get(), 0, nullptr);
  lib.ComputePassEncoderDispatchWorkgroups(pass_.get(), dispatch.x, dispatch.y, dispatch.z);
  ++dispatches_;
  if (timing_ != Timing::dispatches) return;
  spans_.push_back(
      {std::string(dispatch.label.empty() ? dispatch.pipeline->name() : dispatch.label), timestamps_ - 1});
  write_timestamp();
}

void Commands::copy(const Buffer& from, std::uint64_t from_offset, const Buffer& to, std::uint64_t to_offset,
                    std::uint64_t bytes) {
  if (error_ || bytes == 0) return;
  if (!from || !to) {
    keep({.code = ErrorCode::inference,
          .what = "a copy without a buffer",
          .where = from.label() + " to " + to.label()});
    return;
  }
  close_pass();
  api().CommandEncoderCopyBufferToBuffer(encoder_.get(), from.handle_.get(), from_offset, to.handle_.get(),
                                         to_offset, bytes);
}

void Commands::copy(const Buffer& from, std::uint64_t from_offset, const Readback& to,
                    std::uint64_t to_offset, std::uint64_t bytes) {
  copy(from, from_offset, to.buffer_, to_offset, bytes);
  targets_.push_back(to.mapping_);
}

// Brings the timestamps to the host behind the commands they time.
Result<void> Gpu::resolve_times(Commands& commands) {
  state_->spans.clear();
  if (commands.timestamps_ == 0) return {};
  constexpr std::uint64_t set_bytes = timestamps_per_set * sizeof(std::uint64_t);
  const std::uint64_t bytes = commands.queries_.size() * set_bytes;
  TRINE_TRY(const Buffer resolved,
            make_buffer("timestamps", bytes, WGPUBufferUsage_QueryResolve | WGPUBufferUsage_CopySrc));
  TRINE_TRY(state_->timestamps, create_readback("timestamps", bytes));
  for (std::size_t i = 0; i < commands.queries_.size(); ++i) {
    const std::size_t count =
        std::min<std::size_t>(timestamps_per_set, commands.timestamps_ - i * timestamps_per_set);
    api().CommandEncoderResolveQuerySet(commands.encoder_.get(), commands.queries_[i].get(), 0,
                                        static_cast<std::uint32_t>(count), resolved.handle_.get(),
                                        i * set_bytes);
  }
  commands.copy(resolved, 0, state_->timestamps, 0, bytes);
  return {};
}

Result<Submission> Gpu::submit(Commands commands) {
  TRINE_CHECK_OK(state_->alive());
  const InLibrary inside;
  commands.close_pass();
  if (!commands.error_ && commands.timing_ != Timing::nothing) TRINE_CHECK_OK(resolve_times(commands));
  if (commands.error_) return fail(std::move(*commands.error_));
  for (const std::shared_ptr<Mapping>& target : commands.targets_) {
    if (target->step == Mapping::Step::unmapped) continue;
    return fail({.code = ErrorCode::inference, .what = "a copy to a read-back that was not taken yet"});
  }
  // Any mistake in the commands shows here. What is not valid must not reach the queue, which aborts on it.
  const WGPUCommandBuffer buffer = api().CommandEncoderFinish(commands.encoder_.get(), nullptr);
  if (Result<void> outcome = state_->outcome("commands are refused", adapter().name); !outcome) {
    if (buffer != nullptr) api().CommandBufferRelease(buffer);
    TRINE_CHECK_OK(state_->alive());
    return fail(std::move(outcome).error());
  }
  api().QueueSubmit(state_->queue, 1, &buffer);
  api().CommandBufferRelease(buffer);
  ++state_->submitted;
  api().QueueOnSubmittedWorkDone(
      state_->queue, {nullptr, WGPUCallbackMode_AllowSpontaneous, on_work_done, &state_->report, nullptr});
  TRINE_CHECK_OK(state_->outcome("commands are refused", adapter().name));
  if (commands.timestamps_ > 0) {
    state_->spans = std::move(commands.spans_);
    TRINE_CHECK_OK(state_->timestamps.start());
  }
  return state_->submitted;
}

Result<void> Readback::start() {
  if (gpu_ == nullptr || mapping_->step != Mapping::Step::unmapped) {
    return fail({.code = ErrorCode::inference,
                 .what = "a read-back is started twice, or was never made",
                 .where = buffer_.label()});
  }
  TRINE_CHECK_OK(gpu_->state_->alive());
  mapping_->step = Mapping::Step::asked;
  mapping_->kept_for_callback = mapping_;
  const InLibrary inside;
  api().BufferMapAsync(buffer_.handle_.get(), WGPUMapMode_Read, 0, buffer_.bytes(),
                       {nullptr, WGPUCallbackMode_AllowSpontaneous, on_mapped, mapping_.get(), nullptr});
  Result<void> outcome = gpu_->state_->outcome("a read-back is refused", buffer_.label());
  if (!outcome) mapping_->step = Mapping::Step::unmapped;
  return outcome;
}

bool Readback::ready() const {
  return mapping_ != nullptr && mapping_->step >= Mapping::Step::mapped;
}

Result<void> Readback::take(std::span<std::byte> into) {
  if (mapping_ == nullptr || mapping_->step == Mapping::Step::unmapped || into.size() > buffer_.bytes()) {
    return fail({.code = ErrorCode::inference,
                 .what = "a read-back is taken before its start, or beyond its end",
                 .where = buffer_.label(),
                 .expected = fmt::format("at most {} bytes", buffer_.bytes()),
                 .actual = fmt::format("{}", into.size())});
  }
  TRINE_CHECK_OK(gpu_->wait_until([this] { return ready(); }, patience_seconds));
  if (mapping_->step != Mapping::Step::mapped) {
    mapping_->step = Mapping::Step::unmapped;
    TRINE_CHECK_OK(gpu_->state_->alive());
    return fail({.code = ErrorCode::inference,
                 .what = "a read-back failed",
                 .where = buffer_.label(),
                 .actual = mapping_->message});
  }
  const InLibrary inside;
  const void* bytes = api().BufferGetConstMappedRange(buffer_.handle_.get(), 0, buffer_.bytes());
  if (bytes != nullptr) std::memcpy(into.data(), bytes, into.size());
  api().BufferUnmap(buffer_.handle_.get());
  mapping_->step = Mapping::Step::unmapped;
  if (bytes == nullptr)
    return fail({.code = ErrorCode::inference,
                 .what = "a read-back failed",
                 .where = buffer_.label(),
                 .actual = "no memory behind it"});
  return {};
}

Result<std::vector<Timed>> Gpu::times() {
  std::vector<TimedSpan> spans = std::exchange(state_->spans, {});
  std::vector<Timed> times;
  if (spans.empty()) return times;
  std::vector<std::uint64_t> ticks(state_->timestamps.bytes() / sizeof(std::uint64_t));
  TRINE_CHECK_OK(state_->timestamps.take(std::as_writable_bytes(std::span(ticks))));
  const double microseconds = static_cast<double>(api().QueueGetTimestampPeriod(state_->queue)) / 1000;
  for (TimedSpan& span : spans) {
    const std::uint64_t elapsed = ticks[span.begin + 1] - ticks[span.begin];
    times.push_back({std::move(span.label), static_cast<double>(elapsed) * microseconds});
  }
  return times;
}

}  // namespace trine::wgpu
