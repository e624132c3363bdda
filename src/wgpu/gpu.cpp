#include "wgpu/gpu.h"

#include "wgpu/adapter_handle.h"
#include "wgpu/gpu_state.h"
#include "wgpu/shader.h"
#include "wgpu/tuning.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace trine::wgpu {
namespace {

Result<void> check_range(const Buffer& buffer, std::uint64_t offset, std::uint64_t bytes) {
  if (buffer && offset % 4 == 0 && bytes <= buffer.bytes() && offset <= buffer.bytes() - bytes) return {};
  return fail({.code = ErrorCode::inference,
               .what = "transfer outside of a buffer",
               .where = buffer.label(),
               .expected = fmt::format("offset a multiple of 4, within {} bytes", buffer.bytes()),
               .actual = fmt::format("{} bytes at {}", bytes, offset)});
}

}  // namespace

Result<void> Gpu::State::outcome(std::string_view what, std::string_view where) {
  if (!report.error) return {};
  Error error = std::move(*report.error);
  report.error.reset();
  error.what = what;
  error.where = where;
  return fail(std::move(error));
}

Result<void> Gpu::State::alive() const {
  if (!report.lost) return {};
  return fail({.code = ErrorCode::inference,
               .what = "the device is lost",
               .where = adapter.name,
               .actual = report.lost_because,
               .hint = "Start again; when it comes back, look at the driver's log"});
}

Gpu::State::~State() {
  const InLibrary inside;
  if (queue != nullptr) api().QueueRelease(queue);
  if (device != nullptr) api().DeviceRelease(device);
}

Gpu::Gpu(std::unique_ptr<State> state) : state_(std::move(state)) {}

Gpu::~Gpu() {
  (void)wait(state_->submitted, 10);
  // Releasing a lost device may abort, and its callbacks may still come: it stays until the process ends.
  if (!state_->report.lost) return;
  static std::mutex mutex;
  static auto& lost = *new std::vector<std::unique_ptr<State>>();
  const std::lock_guard guard(mutex);
  lost.push_back(std::move(state_));
}

Result<std::unique_ptr<Gpu>> Gpu::open(const GpuOptions& options) {
  TRINE_TRY(ChosenAdapter chosen, take_adapter(options.device));
  auto state = std::make_unique<State>();
  state->adapter = std::move(chosen.adapter);
  state->checked_shaders = options.checked_shaders;
  state->shader_edits = options.shader_edits;
  state->features = state->adapter.features;
  state->features.subgroups &= options.subgroups;
  state->features.f16 &= options.f16;
  state->features.timestamps &= options.timestamps;
  TRINE_TRY(state->device,
            request_device(chosen.handle.get(), state->adapter, state->features, state->report));
  state->queue = api().DeviceGetQueue(state->device);
  std::unique_ptr<Gpu> gpu(new Gpu(std::move(state)));
  if (gpu->state_->features.subgroups) {
    TRINE_TRY(gpu->state_->subgroup_size, gpu->probe_subgroup_size());
  }
  return gpu;
}

const Adapter& Gpu::adapter() const {
  return state_->adapter;
}

const AdapterFeatures& Gpu::features() const {
  return state_->features;
}

std::uint32_t Gpu::subgroup_size() const {
  return state_->subgroup_size;
}

std::uint64_t Gpu::held_bytes() const {
  return *state_->held;
}

// The adapter does not say it, so a kernel looks.
Result<std::uint32_t> Gpu::probe_subgroup_size() {
  constexpr std::size_t lanes = 256;
  ShaderSource source;
  source.files = {"subgroup_size.wgsl"};
  TRINE_TRY(const Pipeline pipeline,
            create_pipeline("subgroup_size", assemble(source), {Binding::read_write}));
  TRINE_TRY(const Buffer sizes, create_buffer("subgroup sizes", lanes * sizeof(std::uint32_t)));
  TRINE_TRY(const BindGroup bindings, bind(pipeline, {sizes}));
  Commands commands = record();
  commands.dispatch({&pipeline, &bindings});
  TRINE_CHECK_OK(submit(std::move(commands)));
  std::vector<std::uint32_t> seen(lanes);
  TRINE_CHECK_OK(read(sizes, 0, std::as_writable_bytes(std::span(seen))));
  const bool one_size = std::all_of(seen.begin(), seen.end(), [&](std::uint32_t n) { return n == seen[0]; });
  return one_size ? seen[0] : 0;
}

Result<void> Gpu::write(const Buffer& buffer, std::uint64_t offset, std::span<const std::byte> bytes) {
  TRINE_CHECK_OK(state_->alive());
  TRINE_CHECK_OK(check_range(buffer, offset, bytes.size()));
  const InLibrary inside;
  api().QueueWriteBuffer(state_->queue, buffer.handle_.get(), offset, bytes.data(), bytes.size());
  return state_->outcome("a buffer cannot be written", buffer.label());
}

Result<void> Gpu::read(const Buffer& buffer, std::uint64_t offset, std::span<std::byte> into) {
  TRINE_CHECK_OK(check_range(buffer, offset, into.size()));
  if (into.empty()) return {};
  TRINE_TRY(Readback readback,
            create_readback(buffer.label(), std::min<std::uint64_t>(read_piece_bytes, into.size())));
  for (std::uint64_t done = 0; done < into.size(); done += read_piece_bytes) {
    const std::uint64_t size = std::min<std::uint64_t>(read_piece_bytes, into.size() - done);
    Commands commands = record();
    commands.copy(buffer, offset + done, readback, 0, (size + 3) / 4 * 4);
    TRINE_CHECK_OK(submit(std::move(commands)));
    TRINE_CHECK_OK(readback.start());
    TRINE_CHECK_OK(readback.take(into.subspan(done, size)));
  }
  return {};
}

Result<void> Gpu::poll() {
  TRINE_CHECK_OK(state_->alive());
  {
    const InLibrary inside;
    api().DevicePoll(state_->device, WGPU_FALSE, nullptr);
  }
  return state_->alive();
}

bool Gpu::done(Submission submission) const {
  return state_->report.completed >= submission;
}

// Polls instead of blocking: the library's own wait knows no time limit, and aborts when it fails.
Result<void> Gpu::wait_until(const std::function<bool()>& finished, double timeout_seconds) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  while (!finished()) {
    TRINE_CHECK_OK(poll());
    if (finished()) break;
    const auto waited = Clock::now() - start;
    if (std::chrono::duration<double>(waited).count() > timeout_seconds) {
      return fail({.code = ErrorCode::inference,
                   .what = "the device does not answer",
                   .where = adapter().name,
                   .expected = fmt::format("an end within {} s", timeout_seconds)});
    }
    if (waited < busy_polling) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(sleep_between_polls);
    }
  }
  return {};
}

Result<void> Gpu::wait(Submission submission, double timeout_seconds) {
  return wait_until([=, this] { return done(submission); }, timeout_seconds);
}

void Gpu::lose() {
  const InLibrary inside;
  api().DeviceDestroy(state_->device);
}

}  // namespace trine::wgpu
