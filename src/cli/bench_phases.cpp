#include "cli/bench_phases.h"

#include "base/human.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace trine::cli {
namespace {

using model::PhaseTime;
using nlohmann::ordered_json;

// All phases as one, of the time that they take together.
PhaseTime sum_of(const model::StepTime& step) {
  PhaseTime sum;
  for (const PhaseTime& phase : step.phases) sum += phase;
  return sum;
}

// A phase beside its limits: what it did a second, and which share of its time each limit would have taken.
struct PhaseRates {
  double bytes_per_second = 0;
  double flops_per_second = 0;
  std::optional<double> of_memory;
  std::optional<double> of_arithmetic;

  PhaseRates(const PhaseTime& phase, const model::StepTime& step, const PhaseLimits& limits) {
    const double seconds = phase.microseconds / 1e6;
    if (!(seconds > 0)) return;
    bytes_per_second = phase.bytes / seconds;
    flops_per_second = (phase.flops_8bit + phase.flops_f32) / seconds;
    if (limits.bytes_per_second && phase.bytes > 0 && sum_of(step).bytes >= limits.cache_bytes)
      of_memory = bytes_per_second / *limits.bytes_per_second;
    if (limits.arithmetic && flops_per_second > 0)
      of_arithmetic = (phase.flops_8bit / limits.arithmetic->flops_8bit +
                       phase.flops_f32 / limits.arithmetic->flops_f32) /
                      seconds;
  }
};

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f} %", 100 * *share) : std::string();
}

std::vector<std::string> cells(const std::string& name, const PhaseTime& phase, const model::StepTime& step,
                               const PhaseLimits& limits) {
  const PhaseRates rates(phase, step, limits);
  const bool reads = phase.bytes > 0, multiplies = rates.flops_per_second > 0;
  return {name,
          fmt::format("{:.3f}", phase.microseconds / 1000),
          percent(phase.microseconds / step.microseconds),
          percent(phase.microseconds > 0 ? phase.idle_microseconds / phase.microseconds : 0),
          reads ? human_bytes(static_cast<std::uint64_t>(phase.bytes)) : "",
          reads ? fmt::format("{:.1f}", rates.bytes_per_second / 1e9) : "",
          percent(rates.of_memory),
          multiplies ? fmt::format("{:.1f}", rates.flops_per_second / 1e9) : "",
          percent(rates.of_arithmetic)};
}

}  // namespace

Table phase_table(const std::string& title, const model::StepTime& step, const PhaseLimits& limits) {
  Table table(
      {title, ">ms", ">of step", ">idle", ">reads", ">GB/s", ">of memory", ">GFLOP/s", ">of arithmetic"});
  for (const PhaseTime& phase : step.phases) table.add(cells(phase.name, phase, step, limits));
  PhaseTime whole = sum_of(step);
  const double between = step.microseconds - whole.microseconds;
  table.add({"between phases", fmt::format("{:.3f}", between / 1000), percent(between / step.microseconds),
             "", "", "", "", "", ""});
  whole.microseconds = step.microseconds;
  table.add(cells("step", whole, step, limits));
  return table;
}

ordered_json phases_json(const std::optional<model::StepTime>& step, const PhaseLimits& limits) {
  if (!step) return {};
  const auto share = [](const std::optional<double>& value) {
    return value ? ordered_json(*value) : ordered_json();
  };
  ordered_json phases = ordered_json::array();
  for (const PhaseTime& phase : step->phases) {
    const PhaseRates rates(phase, *step, limits);
    phases.push_back({{"name", phase.name},
                      {"count", phase.count},
                      {"microseconds", phase.microseconds},
                      {"idle_microseconds", phase.idle_microseconds},
                      {"bytes", phase.bytes},
                      {"flops_8bit", phase.flops_8bit},
                      {"flops_f32", phase.flops_f32},
                      {"share_of_memory", share(rates.of_memory)},
                      {"share_of_arithmetic", share(rates.of_arithmetic)}});
  }
  return {{"ms_per_step", step->microseconds / 1000}, {"phases", std::move(phases)}};
}

std::string arithmetic_line(const std::optional<model::ArithmeticRate>& rate) {
  if (!rate)
    return "arithmetic: limit unknown, as these kernels have no instructions of their own to measure";
  return fmt::format(
      "arithmetic: {:.0f} GFLOP/s with 8-bit activations and {:.0f} in fp32 measured: {} on registers alone",
      rate->flops_8bit / 1e9, rate->flops_f32 / 1e9, rate->instructions);
}

ordered_json arithmetic_json(const std::optional<model::ArithmeticRate>& rate) {
  if (!rate) return {};
  return {{"flops_per_second_8bit", rate->flops_8bit},
          {"flops_per_second_f32", rate->flops_f32},
          {"instructions", rate->instructions}};
}

}  // namespace trine::cli
