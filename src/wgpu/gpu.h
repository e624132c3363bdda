#pragma once

#include "base/error.h"
#include "wgpu/adapter.h"
#include "wgpu/shader.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Objects of the WebGPU library, whose header only those include that call it (library.h).
struct WGPUBindGroupImpl;
struct WGPUBindGroupLayoutImpl;
struct WGPUBufferImpl;
struct WGPUCommandEncoderImpl;
struct WGPUComputePassEncoderImpl;
struct WGPUComputePipelineImpl;
struct WGPUQuerySetImpl;

namespace trine::wgpu {

class Gpu;
class Readback;
struct Mapping;

struct Release {
  void operator()(WGPUBindGroupImpl* object) const noexcept;
  void operator()(WGPUBindGroupLayoutImpl* object) const noexcept;
  void operator()(WGPUBufferImpl* object) const noexcept;
  void operator()(WGPUCommandEncoderImpl* object) const noexcept;
  void operator()(WGPUComputePassEncoderImpl* object) const noexcept;
  void operator()(WGPUComputePipelineImpl* object) const noexcept;
  void operator()(WGPUQuerySetImpl* object) const noexcept;
};
template <typename Object>
using Handle = std::unique_ptr<Object, Release>;

struct GpuOptions {
  std::string device;            // as list_adapters() takes it
  bool checked_shaders = false;  // bounds checks and loop bounds in every kernel: for tests
  // Switches of features that are used when the adapter has them.
  bool subgroups = true;
  bool f16 = true;
  bool timestamps = false;
  std::vector<ShaderEdit> shader_edits = {};  // for tests
};

// storage: bound read or read_write, copied from and to. uniform: bound uniform, written by the host, at most
// limits().max_uniform_binding_bytes.
enum class BufferUse { storage, uniform };

// A buffer's bytes among those that its Gpu counts as held, until the last is gone that keeps them: the
// buffer itself, and bind groups that have it.
class Allocation {
 public:
  Allocation(std::shared_ptr<std::uint64_t> held, std::uint64_t bytes)
      : held_(std::move(held)), bytes_(bytes) {
    *held_ += bytes_;
  }
  ~Allocation() { *held_ -= bytes_; }
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;

 private:
  std::shared_ptr<std::uint64_t> held_;
  std::uint64_t bytes_;
};

// Device memory, freed with the object once no submission uses it. Zero when created.
class Buffer {
 public:
  Buffer() = default;
  std::uint64_t bytes() const { return bytes_; }  // a multiple of 4
  const std::string& label() const { return label_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  friend class Gpu;
  friend class Commands;
  friend class Readback;
  Handle<WGPUBufferImpl> handle_;
  std::shared_ptr<const Allocation> allocation_;
  std::uint64_t bytes_ = 0;
  std::string label_;
};

// What a kernel declares at @group(0) @binding(i), i being the index in its list.
enum class Binding : std::uint8_t {
  uniform,     // var<uniform>
  read,        // var<storage, read>
  read_write,  // var<storage, read_write>
};

// A compiled kernel, entry point `main`.
class Pipeline {
 public:
  Pipeline() = default;
  const std::string& name() const { return name_; }
  const std::vector<Binding>& bindings() const { return bindings_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  friend class Gpu;
  friend class Commands;
  Handle<WGPUComputePipelineImpl> handle_;
  Handle<WGPUBindGroupLayoutImpl> layout_;
  std::vector<Binding> bindings_;
  std::string name_;
};

// A buffer, or a part of it, to bind. The offset is a multiple of limits().storage_offset_alignment.
struct Slice {
  Slice(const Buffer& whole) : buffer(&whole), bytes(whole.bytes()) {}  // NOLINT: meant to be implicit
  Slice(const Buffer& of, std::uint64_t from, std::uint64_t length)
      : buffer(&of), offset(from), bytes(length) {}

  const Buffer* buffer;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

// The buffers of a dispatch. Keeps them alive. Made once and used in as many dispatches as you like.
class BindGroup {
 public:
  BindGroup() = default;
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  friend class Gpu;
  friend class Commands;
  Handle<WGPUBindGroupImpl> handle_;
  std::vector<std::shared_ptr<const Allocation>> allocations_;
};

// One launch of x·y·z workgroups; each at most limits().max_workgroups_per_dimension. A grid with a 0 in it
// is skipped.
struct Dispatch {
  const Pipeline* pipeline = nullptr;
  const BindGroup* bindings = nullptr;
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;
  std::string_view label = {};  // for Gpu::times(); the pipeline's name where it is empty
};

// What is timed of recorded commands, where features().timestamps is on: see Gpu::times().
enum class Timing { nothing, passes, dispatches };

// Microseconds by the device's clock.
struct Timed {
  std::string label;
  double microseconds = 0;
};

// A label, and the timestamp before what it names; the next is the one behind it.
struct TimedSpan {
  std::string label;
  std::size_t begin = 0;
};

// Names a submit(); later ones are larger.
using Submission = std::uint64_t;

// Commands under recording: from Gpu::record(), to Gpu::submit(), within one thread. They run in the order
// recorded, each seeing what those before it wrote. Dispatches that follow one another share one compute
// pass. A mistake (grid too large, copy out of range) is kept and returned by submit().
class Commands {
 public:
  void dispatch(const Dispatch& dispatch);
  // Offsets and `bytes` are multiples of 4.
  void copy(const Buffer& from, std::uint64_t from_offset, const Buffer& to, std::uint64_t to_offset,
            std::uint64_t bytes);
  void copy(const Buffer& from, std::uint64_t from_offset, const Readback& to, std::uint64_t to_offset,
            std::uint64_t bytes);
  std::size_t dispatches() const { return dispatches_; }

  Commands(Commands&&) = default;
  Commands& operator=(Commands&&) = default;
  ~Commands();

 private:
  friend class Gpu;
  Commands() = default;
  void open_pass();
  void close_pass();
  void write_timestamp();
  void keep(Error error);

  Gpu* gpu_ = nullptr;
  Handle<WGPUCommandEncoderImpl> encoder_;
  Handle<WGPUComputePassEncoderImpl> pass_;
  WGPUComputePipelineImpl* pipeline_ = nullptr;  // set last in this pass
  std::size_t dispatches_ = 0;
  std::vector<std::shared_ptr<Mapping>> targets_;  // of copies: not to be mapped when this is submitted
  Timing timing_ = Timing::nothing;
  std::vector<Handle<WGPUQuerySetImpl>> queries_;
  std::size_t timestamps_ = 0;
  std::vector<TimedSpan> spans_;
  std::optional<Error> error_;  // the first
};

// Memory that the host reads without waiting for the device:
//   commands.copy(buffer, 0, readback, 0, n); submit(commands); readback.start();  ... gpu.poll() ...
//   if (readback.ready()) readback.take(bytes);
class Readback {
 public:
  Readback() = default;
  std::uint64_t bytes() const { return buffer_.bytes(); }
  // Asks for its content after everything submitted so far. Errors: inference.
  Result<void> start();
  // Whether take() would not wait. Changes in Gpu::poll() and wait().
  bool ready() const;
  // Copies its first into.size() bytes and allows the next start(). Waits when it is not ready.
  // Errors: inference (not started, device lost, no answer in time).
  Result<void> take(std::span<std::byte> into);

 private:
  friend class Gpu;
  friend class Commands;
  Buffer buffer_;
  Gpu* gpu_ = nullptr;
  std::shared_ptr<Mapping> mapping_;
};

// An open device and its queue. One thread at a time. Buffers, pipelines and the rest are freed on their own,
// in any order, but used only while their Gpu lives.
//
// What the library reports becomes an Error of the call that caused it, and the Gpu stays usable. A lost
// device (reset, unplugged, hung) is final: from then on every call fails. Where the loss comes within a
// call, the library may abort the process all the same (abort_handler.h).
class Gpu {
 public:
  // Errors: backend_unavailable (library, adapter or device not to be had).
  static Result<std::unique_ptr<Gpu>> open(const GpuOptions& options);
  ~Gpu();

  const Adapter& adapter() const;
  const AdapterLimits& limits() const { return adapter().limits; }
  // What kernels may use here: the adapter's features, less what the options switched off.
  const AdapterFeatures& features() const;
  // Lanes of a subgroup as a kernel of this device saw them; 0 when subgroups are off or their size varies.
  std::uint32_t subgroup_size() const;
  // Of all buffers and read-backs that there are now. What the library holds beside them, for writes that
  // wait for a submission and for compiled kernels, cannot be asked for.
  std::uint64_t held_bytes() const;

  // `bytes` is rounded up to a multiple of 4; 0 is refused. Errors: model_load (more than the device has or
  // allows in a buffer).
  Result<Buffer> create_buffer(std::string_view label, std::uint64_t bytes,
                               BufferUse use = BufferUse::storage);
  Result<Readback> create_readback(std::string_view label, std::uint64_t bytes);
  // Compiles WGSL (see shader.h). `bindings` lists what it binds at 0, 1, …. Errors: inference, with the
  // kernel's name and the compiler's message, which has the line.
  Result<Pipeline> create_pipeline(std::string_view name, std::string_view wgsl,
                                   const std::vector<Binding>& bindings);
  // One slice per binding of `pipeline`. Errors: inference (wrong number, range, size or alignment).
  Result<BindGroup> bind(const Pipeline& pipeline, const std::vector<Slice>& slices);

  // Puts bytes into a buffer before anything submitted later; offset and size are multiples of 4. For the
  // small things of a step, or a piece of the weights: they wait in staging memory for the next submit().
  // Errors: inference.
  Result<void> write(const Buffer& buffer, std::uint64_t offset, std::span<const std::byte> bytes);
  // Waits for everything submitted and copies buffer content to the host. Errors: inference.
  Result<void> read(const Buffer& buffer, std::uint64_t offset, std::span<std::byte> into);

  Commands record(Timing timing = Timing::nothing);
  // Errors: inference; then nothing of `commands` ran.
  Result<Submission> submit(Commands commands);
  // Handles what has finished, without waiting. Errors: inference (device lost).
  Result<void> poll();
  bool done(Submission submission) const;  // as of the last poll() or wait()
  // Waits until it is done, at most `timeout_seconds`. Errors: inference (device lost, no answer in time).
  Result<void> wait(Submission submission, double timeout_seconds = 60);
  // How long each dispatch, or pass, of the last timed submission took, in order; waits for it. Dispatches
  // without a barrier between them overlap, so only their sum means something then. Empty when nothing was
  // timed.
  Result<std::vector<Timed>> times();

  // Loses the device on purpose: for tests of what comes after.
  void lose();

 private:
  friend class Commands;
  friend class Readback;
  struct State;
  explicit Gpu(std::unique_ptr<State> state);
  Result<Buffer> make_buffer(std::string_view label, std::uint64_t bytes, std::uint64_t usage);
  Result<std::uint32_t> probe_subgroup_size();
  Result<void> resolve_times(Commands& commands);
  Result<void> wait_until(const std::function<bool()>& finished, double timeout_seconds);
  std::unique_ptr<State> state_;
};

}  // namespace trine::wgpu
