#pragma once

#include "cli/table.h"
#include "model/device_model.h"

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace trine::cli {

// What the phases of a step are held against.
struct PhaseLimits {
  std::optional<double> bytes_per_second;           // of memory, where it was measured
  double cache_bytes = 0;                           // steps that read less are not bounded by memory
  std::optional<model::ArithmeticRate> arithmetic;  // where it is known
};

// A line for each phase, one for what lies between them, and one for the step, with each phase's share of the
// limits.
Table phase_table(const std::string& title, const model::StepTime& step, const PhaseLimits& limits);
// The same; null without a step.
nlohmann::ordered_json phases_json(const std::optional<model::StepTime>& step, const PhaseLimits& limits);

// "arithmetic: 410 GFLOP/s …" and {"flops_per_second_8bit": …} or null.
std::string arithmetic_line(const std::optional<model::ArithmeticRate>& rate);
nlohmann::ordered_json arithmetic_json(const std::optional<model::ArithmeticRate>& rate);

}  // namespace trine::cli
