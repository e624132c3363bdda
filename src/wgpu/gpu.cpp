#include "wgpu/gpu.h"

#include "wgpu/adapter_handle.h"
#include "wgpu/gpu_state.h"
#include "wgpu/quiet_stderr.h"
#include "wgpu/shader.h"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

namespace trine::wgpu {
namespace {

constexpr std::uint64_t piece_bytes = 64ull << 20;

// The library's messages are drawings of several lines; this puts the words on one.
std::string one_line(const std::string& message) {
  std::string out;
  for (std::size_t i = 0; i < message.size(); ++i) {
    const bool drawing = static_cast<unsigned char>(message[i]) == 0xe2 && i + 2 < message.size();
    if (drawing) i += 2;  // U+2500 and its neighbours
    const char c = drawing ? ' ' : message[i];
    if (c == '\n') {
      while (!out.empty() && out.back() == ' ') out.pop_back();
      if (!out.empty() && !out.ends_with(';') && !out.ends_with(':')) out += ';';
    }
    if (c != '\n' && c != ' ') {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == ';')) out.pop_back();
  constexpr std::string_view heading = "Validation Error; Caused by: ";
  return out.starts_with(heading) ? out.substr(heading.size()) : out;
}

void on_error(WGPUDevice const* /*device*/, WGPUErrorType type, WGPUStringView text, void* user, void*) {
  Report& report = *static_cast<Report*>(user);
  const std::string message = one_line(to_string(text));
  if (message.find("device is lost") != std::string::npos && !report.lost) {
    report.lost = true;
    report.lost_because = message;
  }
  if (report.error) return;
  // The library gives some of these another type.
  const bool no_memory =
      type == WGPUErrorType_OutOfMemory || message.find("Not enough memory") != std::string::npos;
  const ErrorCode code = no_memory ? ErrorCode::model_load : ErrorCode::inference;
  report.error = Error{.code = code, .actual = message};
}

void on_lost(WGPUDevice const* /*device*/, WGPUDeviceLostReason /*reason*/, WGPUStringView text, void* user,
             void*) {
  Report& report = *static_cast<Report*>(user);
  report.lost = true;
  if (report.lost_because.empty()) report.lost_because = one_line(to_string(text));
}

struct DeviceAnswer {
  WGPUDevice device = nullptr;
  std::string message;
};

void on_device(WGPURequestDeviceStatus status, WGPUDevice device, WGPUStringView text, void* user, void*) {
  DeviceAnswer& answer = *static_cast<DeviceAnswer*>(user);
  if (status == WGPURequestDeviceStatus_Success) answer.device = device;
  answer.message = one_line(to_string(text));
}

// Asks for all that the adapter has, less what was switched off.
Result<WGPUDevice> request_device(WGPUAdapter adapter, const Adapter& described,
                                  const AdapterFeatures& features, Report& report) {
  std::vector<WGPUFeatureName> wanted;
  const auto want = [&wanted](auto feature) { wanted.push_back(static_cast<WGPUFeatureName>(feature)); };
  if (features.subgroups) want(WGPUNativeFeature_Subgroup);
  if (features.f16) want(WGPUFeatureName_ShaderF16);
  if (features.timestamps) {
    want(WGPUFeatureName_TimestampQuery);
    want(WGPUNativeFeature_TimestampQueryInsideEncoders);
    want(WGPUNativeFeature_TimestampQueryInsidePasses);
  }
  WGPULimits limits = {};
  api().AdapterGetLimits(adapter, &limits);

  WGPUDeviceDescriptor descriptor = {};
  descriptor.label = to_view("trine");
  descriptor.requiredFeatureCount = wanted.size();
  descriptor.requiredFeatures = wanted.data();
  descriptor.requiredLimits = &limits;
  descriptor.deviceLostCallbackInfo = {nullptr, WGPUCallbackMode_AllowSpontaneous, on_lost, &report, nullptr};
  descriptor.uncapturedErrorCallbackInfo = {nullptr, on_error, &report, nullptr};
  DeviceAnswer answer;
  const QuietStderr quiet;
  const InLibrary inside;
  api().AdapterRequestDevice(adapter, &descriptor,
                             {nullptr, WGPUCallbackMode_AllowSpontaneous, on_device, &answer, nullptr});
  if (answer.device == nullptr) {
    return fail({.code = ErrorCode::backend_unavailable,
                 .what = "the device cannot be opened",
                 .where = described.name,
                 .actual = answer.message,
                 .hint = "'trine devices' lists what else is here"});
  }
  return answer.device;
}

WGPUBufferUsage usage_of(BufferUse use) {
  const WGPUBufferUsage copied = WGPUBufferUsage_CopySrc | WGPUBufferUsage_CopyDst;
  return copied | (use == BufferUse::uniform ? WGPUBufferUsage_Uniform : WGPUBufferUsage_Storage);
}

WGPUBufferBindingType binding_type(Binding binding) {
  switch (binding) {
    case Binding::uniform:
      return WGPUBufferBindingType_Uniform;
    case Binding::read:
      return WGPUBufferBindingType_ReadOnlyStorage;
    case Binding::read_write:
      return WGPUBufferBindingType_Storage;
  }
  return WGPUBufferBindingType_Undefined;
}

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

Result<Buffer> Gpu::make_buffer(std::string_view label, std::uint64_t bytes, std::uint64_t usage) {
  TRINE_CHECK_OK(state_->alive());
  const std::uint64_t rounded = (bytes + 3) / 4 * 4;
  const std::uint64_t limit = limits().max_buffer_bytes;
  if (bytes == 0 || rounded < bytes || rounded > limit) {
    return fail({.code = ErrorCode::model_load,
                 .what = "a buffer of this size is not possible",
                 .where = std::string(label),
                 .expected = fmt::format("1 to {} bytes on {}", limit, adapter().name),
                 .actual = fmt::format("{} bytes", bytes)});
  }
  WGPUBufferDescriptor descriptor = {};
  descriptor.label = to_view(label);
  descriptor.usage = usage;
  descriptor.size = rounded;
  Buffer buffer;
  {
    const InLibrary inside;
    buffer.handle_.reset(api().DeviceCreateBuffer(state_->device, &descriptor));
  }
  buffer.bytes_ = rounded;
  buffer.label_ = label;
  const std::string what = fmt::format("no device memory for a buffer of {} bytes", rounded);
  if (Result<void> made = state_->outcome(what, label); !made) {
    TRINE_CHECK_OK(state_->alive());
    made.error().code = ErrorCode::model_load;  // the library reports some of these as mistakes
    return fail(std::move(made).error());
  }
  if (!buffer) return fail({.code = ErrorCode::model_load, .what = what, .where = std::string(label)});
  return buffer;
}

Result<Buffer> Gpu::create_buffer(std::string_view label, std::uint64_t bytes, BufferUse use) {
  return make_buffer(label, bytes, usage_of(use));
}

Result<Readback> Gpu::create_readback(std::string_view label, std::uint64_t bytes) {
  Readback readback;
  TRINE_TRY(readback.buffer_, make_buffer(label, bytes, WGPUBufferUsage_MapRead | WGPUBufferUsage_CopyDst));
  readback.gpu_ = this;
  readback.mapping_ = std::make_shared<Mapping>();
  return readback;
}

Result<Pipeline> Gpu::create_pipeline(std::string_view name, std::string_view wgsl,
                                      const std::vector<Binding>& bindings) {
  TRINE_CHECK_OK(state_->alive());
  const Library& lib = api();
  const InLibrary inside;
  std::vector<WGPUBindGroupLayoutEntry> entries(bindings.size());
  for (std::size_t i = 0; i < bindings.size(); ++i) {
    entries[i] = {};
    entries[i].binding = static_cast<std::uint32_t>(i);
    entries[i].visibility = WGPUShaderStage_Compute;
    entries[i].buffer.type = binding_type(bindings[i]);
  }
  WGPUBindGroupLayoutDescriptor group = {};
  group.label = to_view(name);
  group.entryCount = entries.size();
  group.entries = entries.data();
  Pipeline pipeline;
  pipeline.name_ = name;
  pipeline.bindings_ = bindings;
  pipeline.layout_.reset(lib.DeviceCreateBindGroupLayout(state_->device, &group));
  TRINE_CHECK_OK(state_->outcome("a kernel's bindings are refused", name));

  WGPUShaderSourceWGSL source = {};
  source.chain.sType = WGPUSType_ShaderSourceWGSL;
  const std::string text = edited(std::string(wgsl), state_->shader_edits);
  source.code = to_view(text);
  WGPUShaderModuleDescriptor descriptor = {};
  descriptor.nextInChain = &source.chain;
  descriptor.label = to_view(name);
  const WGPUShaderModule module =
      state_->checked_shaders
          ? lib.DeviceCreateShaderModule(state_->device, &descriptor)
          : lib.DeviceCreateShaderModuleTrusted(state_->device, &descriptor, WGPUShaderRuntimeChecks_None);
  Result<void> outcome = state_->outcome("a kernel does not compile", name);

  WGPUBindGroupLayout layout = pipeline.layout_.get();
  WGPUPipelineLayoutDescriptor layouts = {};
  layouts.label = to_view(name);
  layouts.bindGroupLayoutCount = 1;
  layouts.bindGroupLayouts = &layout;
  if (outcome) {
    const WGPUPipelineLayout pipeline_layout = lib.DeviceCreatePipelineLayout(state_->device, &layouts);
    outcome = state_->outcome("a kernel's bindings are refused", name);
    if (outcome) {
      WGPUComputePipelineDescriptor compute = {};
      compute.label = to_view(name);
      compute.layout = pipeline_layout;
      compute.compute.module = module;
      compute.compute.entryPoint = to_view("main");
      pipeline.handle_.reset(lib.DeviceCreateComputePipeline(state_->device, &compute));
      outcome = state_->outcome("a kernel does not compile", name);
    }
    if (pipeline_layout != nullptr) lib.PipelineLayoutRelease(pipeline_layout);
  }
  if (module != nullptr) lib.ShaderModuleRelease(module);
  TRINE_CHECK_OK(outcome);
  return pipeline;
}

Result<BindGroup> Gpu::bind(const Pipeline& pipeline, const std::vector<Slice>& slices) {
  TRINE_CHECK_OK(state_->alive());
  if (slices.size() != pipeline.bindings().size()) {
    return fail({.code = ErrorCode::inference,
                 .what = "a kernel got the wrong number of buffers",
                 .where = pipeline.name(),
                 .expected = fmt::format("{}", pipeline.bindings().size()),
                 .actual = fmt::format("{}", slices.size())});
  }
  std::vector<WGPUBindGroupEntry> entries(slices.size());
  for (std::size_t i = 0; i < slices.size(); ++i) {
    entries[i] = {};
    entries[i].binding = static_cast<std::uint32_t>(i);
    entries[i].buffer = slices[i].buffer->handle_.get();
    entries[i].offset = slices[i].offset;
    entries[i].size = slices[i].bytes;
    if (entries[i].buffer == nullptr) {
      return fail({.code = ErrorCode::inference,
                   .what = "a kernel got an empty buffer",
                   .where = pipeline.name(),
                   .actual = fmt::format("binding {}", i)});
    }
  }
  WGPUBindGroupDescriptor descriptor = {};
  descriptor.label = to_view(pipeline.name());
  descriptor.layout = pipeline.layout_.get();
  descriptor.entryCount = entries.size();
  descriptor.entries = entries.data();
  BindGroup group;
  group.handle_.reset(api().DeviceCreateBindGroup(state_->device, &descriptor));
  TRINE_CHECK_OK(state_->outcome("a kernel's buffers are refused", pipeline.name()));
  return group;
}

Result<void> Gpu::write(const Buffer& buffer, std::uint64_t offset, std::span<const std::byte> bytes) {
  TRINE_CHECK_OK(state_->alive());
  TRINE_CHECK_OK(check_range(buffer, offset, bytes.size()));
  const InLibrary inside;
  api().QueueWriteBuffer(state_->queue, buffer.handle_.get(), offset, bytes.data(), bytes.size());
  return state_->outcome("a buffer cannot be written", buffer.label());
}

Result<void> Gpu::upload(const Buffer& buffer, std::uint64_t offset, std::span<const std::byte> bytes,
                         const std::function<void(std::uint64_t)>& progress) {
  TRINE_CHECK_OK(check_range(buffer, offset, bytes.size()));
  Submission before = 0;
  for (std::uint64_t done = 0; done < bytes.size();) {
    const std::uint64_t size = std::min<std::uint64_t>(piece_bytes, bytes.size() - done);
    const std::uint64_t whole = size / 4 * 4;
    TRINE_CHECK_OK(write(buffer, offset + done, bytes.subspan(done, whole)));
    if (whole < size) {
      std::byte word[4] = {};
      std::memcpy(word, bytes.data() + done + whole, size - whole);
      TRINE_CHECK_OK(write(buffer, offset + done + whole, word));
    }
    TRINE_TRY(const Submission now, submit(record()));
    // One piece is on its way while the next is put into staging memory.
    TRINE_CHECK_OK(wait(before));
    before = now;
    done += size;
    if (progress) progress(done);
  }
  return wait(before);
}

Result<void> Gpu::read(const Buffer& buffer, std::uint64_t offset, std::span<std::byte> into) {
  TRINE_CHECK_OK(check_range(buffer, offset, into.size()));
  if (into.empty()) return {};
  TRINE_TRY(Readback readback,
            create_readback(buffer.label(), std::min<std::uint64_t>(piece_bytes, into.size())));
  for (std::uint64_t done = 0; done < into.size(); done += piece_bytes) {
    const std::uint64_t size = std::min<std::uint64_t>(piece_bytes, into.size() - done);
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

Submission Gpu::last() const {
  return state_->submitted;
}

// Polls instead of blocking: the library's own wait knows no time limit, and aborts when it fails.
Result<void> Gpu::wait_until(const std::function<bool()>& finished, double timeout_seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr auto patience = std::chrono::milliseconds(1);
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
    if (waited < patience) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  return {};
}

Result<void> Gpu::wait(Submission submission, double timeout_seconds) {
  return wait_until([=, this] { return done(submission); }, timeout_seconds);
}

bool Gpu::lost() const {
  return state_->report.lost;
}

Result<void> Gpu::check() {
  TRINE_CHECK_OK(state_->alive());
  return state_->outcome("the device reported an error", adapter().name);
}

void Gpu::lose() {
  const InLibrary inside;
  api().DeviceDestroy(state_->device);
}

void Release::operator()(WGPUBindGroupImpl* object) const noexcept {
  api().BindGroupRelease(object);
}
void Release::operator()(WGPUBindGroupLayoutImpl* object) const noexcept {
  api().BindGroupLayoutRelease(object);
}
void Release::operator()(WGPUBufferImpl* object) const noexcept {
  api().BufferRelease(object);
}
void Release::operator()(WGPUCommandEncoderImpl* object) const noexcept {
  api().CommandEncoderRelease(object);
}
void Release::operator()(WGPUComputePassEncoderImpl* object) const noexcept {
  api().ComputePassEncoderRelease(object);
}
void Release::operator()(WGPUComputePipelineImpl* object) const noexcept {
  api().ComputePipelineRelease(object);
}
void Release::operator()(WGPUQuerySetImpl* object) const noexcept {
  api().QuerySetRelease(object);
}

namespace {

extern "C" void on_abort(int signal) {
  if (InLibrary::depth == 0) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  constexpr std::string_view text =
      "trine: error: the WebGPU library gave up; its own message stands above\n";
  [[maybe_unused]] const ssize_t written = ::write(QuietStderr::real(), text.data(), text.size());
  ::_exit(static_cast<int>(ErrorCode::inference));
}

}  // namespace

void install_abort_handler() {
  std::signal(SIGABRT, on_abort);
}

}  // namespace trine::wgpu
