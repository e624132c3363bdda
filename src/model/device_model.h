#pragma once

#include "base/error.h"
#include "model/config.h"
#include "model/stage.h"
#include "model/token_stream.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trine::model {

// fast: activations quantised to 8-bit blocks where a backend gains by it. exact: fp32 activations, for the
// contract.
enum class Numerics { fast, exact };

// What a backend reports of the device it runs on, as the driver or the operating system names it.
struct DeviceInfo {
  std::string backend;  // "cpu", "cuda", "wgpu"
  std::string name;     // "AMD EPYC 7763 64-Core Processor"
  std::string type;     // "cpu", "discrete-gpu", "integrated-gpu", "software"
  std::string api;      // "AVX2", "Vulkan 1.3", "CUDA 13.0"
  std::string driver;   // version; empty for a CPU
  int threads = 0;      // CPU only
  Numerics numerics = Numerics::fast;
  std::array<std::string, stage_count> stage_place;  // where each stage ran: "device" or "host"
  // Variants of kernels, "subgroups", that nothing runs: those that --without named, and those that failed
  // the self-test at load.
  std::vector<std::string> left_out = {};
  std::vector<std::string> switched_off = {};
};

// One token of a batch.
struct Row {
  std::int32_t token = 0;
  std::int32_t position = 0;  // in its sequence, from 0
  std::int32_t sequence = 0;  // index into Batch::page_tables
  bool wants_logits = false;
};

// Rows of one forward pass. Rows of one sequence must come in ascending, gap-free positions, and all earlier
// positions of that sequence must have been run before. Entry p of a page table is the KV page that holds
// positions [p·page_size, (p+1)·page_size); the engine owns the assignment.
struct Batch {
  std::vector<Row> rows;
  std::vector<std::vector<std::int32_t>> page_tables;
};

// A kernel's part of a pass.
struct KernelTime {
  std::string name;
  std::int32_t launches = 0;
  double microseconds = 0;  // of all launches, with the timestamp between each two
};

// How long a pass takes by the device's own clock.
struct PassTime {
  double microseconds = 0;  // from its first kernel to its last
  // Where asked for, in the order of their first launch; measured one by one, which takes longer.
  std::vector<KernelTime> kernels;
};

// How fast a device reads its memory.
struct MemoryRate {
  double bytes_per_second = 0;  // the best pass
  std::uint64_t bytes = 0;      // that each pass reads
  std::int32_t passes = 0;
};

// What the engine asks of a model on a device. CpuModel, CudaModel and WgpuModel implement it and share
// nothing else.
class DeviceModel {
 public:
  virtual ~DeviceModel() = default;

  virtual const Config& config() const = 0;
  virtual DeviceInfo describe() const = 0;

  // The KV cache: `kv_pages()` pages of `kv_page_size()` positions each.
  virtual std::int32_t kv_page_size() const = 0;
  virtual std::int32_t kv_pages() const = 0;
  // The most rows one forward() takes.
  virtual std::int32_t max_batch_rows() const = 0;

  // Runs the batch and writes, for each row that wants logits and in row order, vocab_size floats to `logits`
  // (sized by the caller). `trace` may be null.
  // Errors: inference (a token, position or page out of range, a device fault), with the model usable
  // afterwards.
  virtual Result<void> forward(const Batch& batch, std::span<float> logits, TraceSink* trace) = 0;

  // A stream of tokens chosen on the device; null when this backend has none for such a request. While it
  // lives, which must be within the model's life, forward() and further streams are refused.
  // Errors: inference (as forward(); a stream lives).
  virtual Result<std::unique_ptr<TokenStream>> decode_stream(const StreamRequest& request);

  // What a benchmark asks of devices with a clock of their own: whether there is one, how long a pass takes
  // by it (the batch is run several times, and the median counts), and how fast memory is, or nothing where
  // that cannot be known. Errors: inference (no clock, a batch that is too long).
  virtual bool times_passes() const { return false; }
  virtual Result<PassTime> time_pass(const Batch& batch, bool by_kernel);
  virtual Result<std::optional<MemoryRate>> measure_memory();
};

// What every backend requires of a batch before it runs it. Errors: inference, naming the row and the value
// that is out of range: rows, tokens, positions (gap-free within a sequence), page tables and pages.
Result<void> check_batch(const Batch& batch, const DeviceModel& model);

}  // namespace trine::model
