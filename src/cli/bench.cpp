#include "engine/bench.h"
#include "backend/registry.h"
#include "base/human.h"
#include "base/system.h"
#include "cli/bench_phases.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/cost.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/system.h"
#include "cli/table.h"
#include "device/kv.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

namespace trine::cli {
namespace {

using engine::BenchPlan;
using engine::Spread;
using nlohmann::ordered_json;

constexpr std::int32_t most_tokens = 1 << 20;
constexpr std::int32_t most_sequences = 256;

struct BenchOptions {
  ModelOptions model;
  BenchPlan plan;
  std::vector<std::string> sampling = {"greedy"};
  bool kernels = false;
  bool phases = false;
  bool json = false;
  bool markdown = false;
};

struct PrefillLine {
  std::int32_t tokens = 0;
  engine::PrefillRate rate;
};

struct DecodeLine {
  engine::DecodeCase of;
  engine::DecodeRate rate;
  double bytes_per_token = 0;  // of one sequence: weights and, on average, keys and values
};

struct BenchReport {
  const LoadedModel& model;
  const BenchPlan& plan;
  double resident_share = 0;           // of the file, in the page cache before it was opened
  std::optional<Bandwidth> bandwidth;  // of the memory that the model runs in, where it can be measured
  bool on_gpu = false;                 // and not in this machine's own, with its caches
  ModelCost cost;
  std::optional<model::ArithmeticRate> arithmetic = {};  // where phases are asked for, and it is known
  std::vector<PrefillLine> prefill = {};
  std::vector<DecodeLine> decode = {};

  PhaseLimits phase_limits() const {
    PhaseLimits limits{{}, static_cast<double>(last_level_cache()), arithmetic};
    if (bandwidth) limits.bytes_per_second = bandwidth->bytes_per_second;
    return limits;
  }

  bool in_cache(const DecodeLine& line) const {
    return bandwidth && !on_gpu && line.bytes_per_token < static_cast<double>(last_level_cache());
  }
  // Tokens per second that memory allows; empty when all that a token reads fits into the cache, the
  // bandwidth is not known, or several sequences share what they read.
  std::optional<double> limit(const DecodeLine& line) const {
    if (!bandwidth || in_cache(line) || line.of.sequences > 1) return std::nullopt;
    return bandwidth->bytes_per_second / line.bytes_per_token;
  }
};

Result<double> resident_share(const gguf::File& file) {
  std::uint64_t resident = 0;
  for (const std::string& path : file.paths()) {
    TRINE_TRY(const std::uint64_t bytes, resident_bytes(path));
    resident += bytes;
  }
  return file.total_bytes() == 0 ? 0
                                 : static_cast<double>(resident) / static_cast<double>(file.total_bytes());
}

double bytes_per_token(const BenchReport& report, std::int32_t depth) {
  // The cost counts two bytes an element.
  const std::uint64_t elements = report.cost.kv_bytes_per_token.value_or(0) / 2;
  const model::KvType kv_type = report.model.device->describe().kv_type.value_or(model::KvType::f16);
  const auto kv = static_cast<double>(device::kv_bytes_of(kv_type, elements));
  const double positions = depth + (report.plan.decode + 1) / 2.0;
  return static_cast<double>(report.cost.active_bytes) + kv * positions;
}

Result<void> measure(BenchReport& report, model::DeviceModel& device) {
  engine::Bench bench(device);
  for (const std::int32_t tokens : report.plan.prefill) {
    TRINE_TRY(engine::PrefillRate rate, bench.prefill(tokens, report.plan));
    report.prefill.push_back({tokens, std::move(rate)});
  }
  if (report.plan.decode == 0) return {};
  for (const std::int32_t depth : report.plan.depths)
    for (const std::int32_t sequences : report.plan.sequences)
      for (const engine::NamedSampling& sampling : report.plan.sampling) {
        engine::DecodeCase one{depth, sequences, sampling};
        TRINE_TRY(engine::DecodeRate rate, bench.decode(one, report.plan));
        report.decode.push_back({std::move(one), std::move(rate), bytes_per_token(report, depth)});
      }
  return {};
}

// "decode 64 at 0", and what is not the usual.
std::string name_of(const engine::DecodeCase& one, std::int32_t tokens) {
  std::string name = fmt::format("decode {} at {}", tokens, one.depth);
  if (one.sequences > 1) name += fmt::format(", {} sequences", one.sequences);
  if (one.sampling.name != "greedy") name += ", " + one.sampling.name;
  return name;
}

Table results(const BenchReport& report) {
  Table table({"test", ">tok/s", ">min", ">max", ">read per token", ">limit tok/s", ">of limit"});
  const auto rate = [](double value) { return fmt::format("{:.1f}", value); };
  for (const PrefillLine& line : report.prefill) {
    const Spread& spread = line.rate.rate;
    table.add({fmt::format("prefill {}", line.tokens), rate(spread.median), rate(spread.min),
               rate(spread.max), "", "", ""});
  }
  for (const DecodeLine& line : report.decode) {
    const std::optional<double> limit = report.limit(line);
    const bool alone = line.of.sequences == 1;
    const Spread& spread = line.rate.rate;
    table.add({name_of(line.of, report.plan.decode), rate(spread.median), rate(spread.min), rate(spread.max),
               alone ? human_bytes(static_cast<std::uint64_t>(line.bytes_per_token)) : "",
               limit              ? rate(*limit)
               : !alone           ? ""
               : report.bandwidth ? "none"
                                  : "unknown",
               limit ? fmt::format("{:.0f} %", 100 * spread.median / *limit) : ""});
  }
  return table;
}

// Of a step, in milliseconds and counts.
struct HostShare {
  explicit HostShare(const engine::HostCost& cost)
      : submit(1000 * cost.submit_seconds / cost.steps),
        wait(1000 * cost.wait_seconds / cost.steps),
        launches(static_cast<double>(cost.launches) / cost.steps) {}
  double submit, wait, launches;
};

std::vector<std::string> memory_lines(const BenchReport& report) {
  if (!report.bandwidth) return {"limit: unknown, as this device's memory bandwidth is not measured"};
  const Bandwidth& bandwidth = *report.bandwidth;
  const auto threads = static_cast<std::uint64_t>(bandwidth.threads);
  return {
      fmt::format("memory: {:.1f} GB/s measured: {} read {}, the best of {} passes",
                  bandwidth.bytes_per_second / 1e9, report.on_gpu ? "a kernel" : plural(threads, "thread"),
                  human_bytes(bandwidth.buffer_bytes), bandwidth.passes),
      "limit: that bandwidth over the weights a token uses and the keys and values it attends to"};
}

std::vector<std::string> circumstances(const BenchReport& report) {
  const model::DeviceInfo device = report.model.device->describe();
  std::vector<std::string> lines = {
      fmt::format("device: {} ({})", describe_device(device), report.model.choice.reason),
      fmt::format("model: {}, {}, {:.0f} % in the page cache before the run",
                  printable(report.model.source.path), human_bytes(report.model.file->total_bytes()),
                  100 * report.resident_share),
      fmt::format("method: median, min and max of {} after {} of warm-up; random tokens, {}",
                  plural(static_cast<std::uint64_t>(report.plan.repetitions), "repetition"),
                  report.plan.warmup, "each token chosen where the model runs, from the step before it")};
  for (std::string& line : memory_lines(report)) lines.push_back(std::move(line));
  if (report.plan.parts && report.model.device->times_phases())
    lines.push_back(arithmetic_line(report.arithmetic));
  for (const DecodeLine& line : report.decode) {
    if (line.rate.host.launches == 0) continue;  // nothing runs beside the host
    const HostShare share(line.rate.host);
    lines.push_back(fmt::format(
        "host, {}: {:.2f} ms a step to record and submit {:.0f} launches, and {:.2f} ms of waiting for the "
        "device",
        name_of(line.of, report.plan.decode), share.submit, share.launches, share.wait));
  }
  for (const DecodeLine& line : report.decode) {
    if (!line.rate.step || !report.model.device->times_kernels()) continue;
    lines.push_back(fmt::format("device, {}: {:.2f} ms a step by its own clock",
                                name_of(line.of, report.plan.decode), line.rate.step->microseconds / 1000));
  }
  const bool in_cache = std::any_of(report.decode.begin(), report.decode.end(),
                                    [&](const DecodeLine& line) { return report.in_cache(line); });
  if (in_cache) {
    lines.push_back(
        fmt::format("note: limit none: what a token reads fits into the last-level cache ({}), so "
                    "memory's bandwidth does not bound it",
                    human_bytes(last_level_cache())));
  }
  return lines;
}

ordered_json spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

ordered_json host_json(const engine::HostCost& cost) {
  const HostShare share(cost);
  return {{"submit_ms_per_step", share.submit},
          {"wait_ms_per_step", share.wait},
          {"launches_per_step", share.launches}};
}

ordered_json device_time_json(const std::optional<model::StepTime>& time) {
  if (!time || !time->phases.empty()) return {};
  ordered_json kernels = ordered_json::array();
  for (const model::KernelTime& kernel : time->kernels)
    kernels.push_back(
        {{"name", kernel.name}, {"launches", kernel.launches}, {"microseconds", kernel.microseconds}});
  return {{"ms_per_step", time->microseconds / 1000}, {"kernels", std::move(kernels)}};
}

ordered_json bandwidth_json(const std::optional<Bandwidth>& bandwidth, bool on_gpu) {
  if (!bandwidth) return {};
  ordered_json out = {{"bytes_per_second", bandwidth->bytes_per_second},
                      {"method", on_gpu ? "best pass of a kernel reading one buffer, by the device's clock"
                                        : "best pass of all threads reading 64-bit words from one buffer"},
                      {"buffer_bytes", bandwidth->buffer_bytes},
                      {"passes", bandwidth->passes}};
  if (!on_gpu) out["threads"] = bandwidth->threads;
  return out;
}

std::string to_json(const BenchReport& report) {
  const PhaseLimits limits = report.phase_limits();
  const auto phases = [&](const std::optional<model::StepTime>& step) {
    return step && step->phases.empty() ? ordered_json() : phases_json(step, limits);
  };
  ordered_json prefill = ordered_json::array();
  for (const PrefillLine& line : report.prefill) {
    prefill.push_back({{"tokens", line.tokens},
                       {"tokens_per_second", spread_json(line.rate.rate)},
                       {"phase_time", phases(line.rate.phases)}});
  }
  ordered_json decode = ordered_json::array();
  for (const DecodeLine& line : report.decode) {
    const std::optional<double> limit = report.limit(line);
    decode.push_back(
        {{"tokens", report.plan.decode},
         {"depth", line.of.depth},
         {"sequences", line.of.sequences},
         {"sampling", line.of.sampling.name},
         {"tokens_per_second", spread_json(line.rate.rate)},
         {"host", host_json(line.rate.host)},
         {"device_time", device_time_json(line.rate.step)},
         {"phase_time", phases(line.rate.step)},
         {"bytes_per_token", line.bytes_per_token},
         {"limit_tokens_per_second", limit ? ordered_json(*limit) : ordered_json()},
         {"share_of_limit", limit ? ordered_json(line.rate.rate.median / *limit) : ordered_json()}});
  }
  const ordered_json out = {{"device", device_json(report.model.device->describe())},
                            {"backend_choice", report.model.choice.reason},
                            {"model",
                             {{"path", report.model.source.path},
                              {"demo", report.model.source.is_demo},
                              {"bytes", report.model.file->total_bytes()},
                              {"active_bytes_per_token", report.cost.active_bytes},
                              {"page_cache_share", report.resident_share}}},
                            {"repetitions", report.plan.repetitions},
                            {"warmup", report.plan.warmup},
                            {"bandwidth", bandwidth_json(report.bandwidth, report.on_gpu)},
                            {"arithmetic", arithmetic_json(report.arithmetic)},
                            {"last_level_cache_bytes", last_level_cache()},
                            {"prefill", std::move(prefill)},
                            {"decode", std::move(decode)}};
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Table kernel_times(const std::string& name, const model::StepTime& step) {
  Table table(
      {fmt::format("kernels of the step in the middle of {}", name), ">launches", ">us each", ">us a step"});
  for (const model::KernelTime& kernel : step.kernels) {
    table.add({kernel.name, fmt::format("{}", kernel.launches),
               fmt::format("{:.1f}", kernel.microseconds / kernel.launches),
               fmt::format("{:.0f}", kernel.microseconds)});
  }
  return table;
}

void print_report(const BenchReport& report, const BenchOptions& options) {
  const std::vector<std::string> lines = circumstances(report);
  const auto show = [&](const Table& table) { return options.markdown ? table.markdown() : table.text(); };
  std::string tables = show(results(report));
  const auto show_phases = [&](const std::string& name, const model::StepTime& step) {
    tables += "\n" + show(phase_table("phases of " + name, step, report.phase_limits()));
  };
  for (const PrefillLine& line : report.prefill)
    if (line.rate.phases) show_phases(fmt::format("prefill {}", line.tokens), *line.rate.phases);
  for (const DecodeLine& line : report.decode) {
    const std::string name = name_of(line.of, report.plan.decode);
    if (!line.rate.step) continue;
    if (options.kernels) tables += "\n" + show(kernel_times(name, *line.rate.step));
    if (options.phases) show_phases("a step of " + name, *line.rate.step);
  }
  std::string list;
  for (const std::string& line : lines) list += (options.markdown ? "- " : "") + line + "\n";
  write_out(options.markdown ? tables + "\n" + list : list + "\n" + tables);
}

// Of the memory that the model runs in.
Result<void> measure_memory(BenchReport& report, int threads) {
  const model::DeviceInfo device = report.model.device->describe();
  const backend::BackendEntry* entry = backend::find_backend(device.backend);
  report.on_gpu = entry != nullptr && entry->is_gpu && device.type != "software";
  if (!report.on_gpu) {
    report.bandwidth = measure_bandwidth(threads);
    return {};
  }
  TRINE_TRY(const std::optional<model::MemoryRate> rate, report.model.device->measure_memory());
  if (rate) report.bandwidth = Bandwidth{rate->bytes_per_second, rate->bytes, 0, rate->passes};
  return {};
}

// What --kernels needs. Errors: usage.
Result<void> require_kernel_times(const model::DeviceModel& device, const BenchPlan& plan) {
  if (plan.decode == 0)
    return fail({.code = ErrorCode::usage,
                 .what = "no kernels to time",
                 .where = "--kernels",
                 .expected = "--decode of at least 1",
                 .actual = "0"});
  if (device.times_kernels()) return {};
  return fail({.code = ErrorCode::usage,
               .what = "this device does not time its kernels",
               .where = "--kernels",
               .expected = "a backend with timestamps, as wgpu has on most adapters",
               .actual = describe_device(device.describe()),
               .hint = device.times_phases() ? "--phases times the parts of a step here" : ""});
}

// What --phases needs. Errors: usage.
Result<void> require_phase_times(const model::DeviceModel& device) {
  if (device.times_phases()) return {};
  return fail({.code = ErrorCode::usage,
               .what = "this backend runs kernels, no phases",
               .where = "--phases",
               .expected = "a backend that runs steps on the host, as cpu does",
               .actual = describe_device(device.describe()),
               .hint = device.times_kernels() ? "--kernels times the parts of a step here" : ""});
}

// Errors: usage (no such name).
Result<void> find_samplings(BenchOptions& options) {
  for (const std::string& name : options.sampling) {
    std::optional<engine::NamedSampling> found = engine::find_sampling(name);
    if (!found)
      return fail({.code = ErrorCode::usage,
                   .what = "there is no such sampling to bench",
                   .where = "--sampling",
                   .expected = "greedy, recommended or penalties",
                   .actual = "'" + name + "'"});
    options.plan.sampling.push_back(std::move(*found));
  }
  return {};
}

Result<int> bench(BenchOptions options) {
  std::erase(options.plan.prefill, 0);
  TRINE_CHECK_OK(find_samplings(options));
  if (options.plan.prefill.empty() && options.plan.decode == 0) {
    return fail(
        {.code = ErrorCode::usage, .what = "nothing to measure", .expected = "--prefill or --decode"});
  }
  TRINE_TRY(LoadedModel model, open_model(options.model));
  if (options.plan.longest() > model.config().context_length) {
    return fail({.code = ErrorCode::usage,
                 .what = "the measurement is longer than the model's context",
                 .expected = fmt::format("at most {} tokens of prefill, or of depth and decode together",
                                         model.config().context_length),
                 .actual = fmt::format("{}", options.plan.longest())});
  }
  TRINE_TRY(const double resident, resident_share(*model.file));
  introduce_demo(model.source);
  warn_if_larger_than_memory(*model.file);
  TRINE_CHECK_OK(start_backend(model, options.model, options.plan.context(), options.plan.slots()));
  if (options.kernels) TRINE_CHECK_OK(require_kernel_times(*model.device, options.plan));
  if (options.phases) TRINE_CHECK_OK(require_phase_times(*model.device));
  options.plan.parts = options.kernels || options.phases;
  BenchReport report{model, options.plan, resident, {}, false, model_cost(*model.file)};
  TRINE_CHECK_OK(measure(report, *model.device));
  if (options.phases) {
    TRINE_TRY(report.arithmetic, model.device->measure_arithmetic());
  }
  // Last, as its buffer may push out weights.
  TRINE_CHECK_OK(measure_memory(report, options.model.load.threads));
  if (options.json) {
    write_json(to_json(report));
  } else {
    print_report(report, options);
  }
  return 0;
}

}  // namespace

Action define_bench(CLI::App& app) {
  const auto options = std::make_shared<BenchOptions>();
  options->plan.prefill = {128, 512};
  options->plan.decode = 64;
  options->plan.depths = {0, 1024};
  describe(app,
           "Measures prefill and decode speed, and sets decode against the limit of the measured memory "
           "bandwidth.");
  add_text(app, "MODEL", options->model.path, "GGUF file, as -m takes it; default: the demo model");
  add_model_options(app, options->model).excludes("MODEL");
  add_list(app, "--prefill", options->plan.prefill, 0, most_tokens,
           "prompt lengths, in tokens; 0: none; default: 128,512");
  add_number(app, "--decode", options->plan.decode, 0, most_tokens,
             "tokens to decode, one at a time; 0: none; default: 64");
  add_list(app, "--depth", options->plan.depths, 0, most_tokens,
           "tokens in the KV cache before decoding; default: 0,1024");
  add_list(app, "--sequences", options->plan.sequences, 1, most_sequences,
           "sequences that are decoded together; default: 1");
  add_words(
      app, "--sampling", options->sampling,
      "how tokens are chosen when decoding: greedy, recommended (Qwen's card: temperature 0.7, top-p 0.8, "
      "top-k 20, repetition penalty 1.05), penalties (these and all others); default: greedy");
  add_number(app, "-r,--repetitions", options->plan.repetitions, 1, 1000,
             "repetitions that count; default: 5");
  add_number(app, "--warmup", options->plan.warmup, 0, 1000,
             "repetitions before them that do not; default: 1");
  add_flag(app, "--kernels", options->kernels,
           "wgpu: also how long each kernel takes when decoding, by the device's clock");
  add_flag(
      app, "--phases", options->phases,
      "cpu: also how long each phase of a step takes, what it reads and multiplies, and its share of the "
      "limits of memory and arithmetic");
  add_flag(app, "--json", options->json, "print one JSON object").group("Output");
  add_flag(app, "--markdown", options->markdown, "print a Markdown table").group("Output").excludes("--json");
  set_footer(app,
             "Examples:\n"
             "  trine bench\n"
             "  trine bench model.gguf --prefill 512 --decode 128 --depth 0,4096 --markdown");
  return [options] { return bench(*options); };
}

}  // namespace trine::cli
