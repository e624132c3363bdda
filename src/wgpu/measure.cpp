#include "wgpu/measure.h"

#include "wgpu/pass.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace trine::wgpu {
namespace {

using Clock = std::chrono::steady_clock;

// Clocks fall within milliseconds of idling and take as long to come back: the first runs do not count.
constexpr int warm_up_runs = 4;
constexpr std::chrono::milliseconds memory_time(500);
constexpr int counted_runs = 9;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Result<std::vector<Timed>> run_timed(Gpu& gpu, Commands commands) {
  TRINE_TRY(const Submission submission, gpu.submit(std::move(commands)));
  TRINE_CHECK_OK(gpu.wait(submission, submission_patience));
  return gpu.times();
}

// Entry i is the median of the i-th dispatch, or pass.
Result<std::vector<Timed>> median_run(Gpu& gpu, const RecordTimed& record, Timing timing) {
  std::vector<Timed> result;
  std::vector<std::vector<double>> runs;
  for (int run = 0; run < warm_up_runs + counted_runs; ++run) {
    TRINE_TRY(Commands commands, record(timing));
    TRINE_TRY(result, run_timed(gpu, std::move(commands)));
    runs.resize(result.size());
    for (std::size_t i = 0; i < result.size() && run >= warm_up_runs; ++i)
      runs[i].push_back(result[i].microseconds);
  }
  for (std::size_t i = 0; i < result.size(); ++i) result[i].microseconds = median(runs[i]);
  return result;
}

std::vector<model::KernelTime> kernels_of(const std::vector<Timed>& dispatches) {
  std::vector<model::KernelTime> kernels;
  for (const Timed& one : dispatches) {
    auto known = std::find_if(kernels.begin(), kernels.end(),
                              [&](const model::KernelTime& kernel) { return kernel.name == one.label; });
    if (known == kernels.end()) known = kernels.insert(known, {one.label, 0, 0});
    ++known->launches;
    known->microseconds += one.microseconds;
  }
  return kernels;
}

}  // namespace

Result<model::StepTime> time_step(Gpu& gpu, bool by_kernel, const RecordTimed& record) {
  model::StepTime time;
  TRINE_TRY(const std::vector<Timed> passes, median_run(gpu, record, Timing::passes));
  for (const Timed& pass : passes) time.microseconds += pass.microseconds;
  if (by_kernel) {
    TRINE_TRY(const std::vector<Timed> dispatches, median_run(gpu, record, Timing::dispatches));
    time.kernels = kernels_of(dispatches);
  }
  return time;
}

Result<std::optional<model::MemoryRate>> measure_memory(KernelCache& kernels) {
  constexpr std::uint64_t most_bytes = std::uint64_t{1} << 30, least_bytes = std::uint64_t{1} << 28;
  constexpr std::uint32_t workgroup = 256, loads = 8, load_bytes = 16;
  Gpu& gpu = kernels.gpu();
  if (!gpu.features().timestamps) return std::nullopt;
  Buffer memory;
  for (std::uint64_t bytes = std::min(most_bytes, gpu.limits().max_storage_binding_bytes / 4096 * 4096);
       !memory; bytes = bytes / 2 / 4096 * 4096) {
    if (bytes < least_bytes) return std::nullopt;
    if (Result<Buffer> made = gpu.create_buffer("memory to read", bytes); made) memory = std::move(*made);
  }
  const auto groups = static_cast<std::uint32_t>(memory.bytes() / (workgroup * loads * load_bytes));
  TRINE_TRY(const Buffer sums, gpu.create_buffer("sums", std::uint64_t{groups} * sizeof(std::uint32_t)));
  ShaderSource source;
  source.constants = {{"WORKGROUP", workgroup}, {"LOADS", loads}};
  source.files = {"read_memory.wgsl"};
  const std::uint32_t x = std::min(groups, gpu.limits().max_workgroups_per_dimension);
  TRINE_TRY(const Op op, kernels.make("read_memory", source, {reads(memory), writes(sums)}, x));

  model::MemoryRate rate;
  rate.bytes = std::uint64_t{x} * workgroup * loads * load_bytes;
  const Clock::time_point start = Clock::now();
  while (rate.passes < counted_runs || Clock::now() - start < memory_time) {
    Commands commands = gpu.record(Timing::dispatches);
    commands.dispatch({op.variants[0].pipeline, &op.bindings, x, 1, 1, op.label});
    TRINE_TRY(const std::vector<Timed> times, run_timed(gpu, std::move(commands)));
    if (times.empty()) return std::nullopt;
    ++rate.passes;
    if (!(times[0].microseconds > 0)) continue;
    rate.bytes_per_second =
        std::max(rate.bytes_per_second, static_cast<double>(rate.bytes) / times[0].microseconds * 1e6);
  }
  return rate.bytes_per_second > 0 ? std::optional(rate) : std::nullopt;
}

}  // namespace trine::wgpu
