#include "device/capacity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <utility>
#include <vector>

namespace trine::device {

std::string to_string(const CapacityPlan& plan) {
  const auto gib = [](std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
  std::vector<std::string> parts;
  if (plan.weights_bytes > 0) parts.push_back(fmt::format("{:.2f} GiB of weights", gib(plan.weights_bytes)));
  if (plan.kv_bytes > 0)
    parts.push_back(
        fmt::format("{:.2f} GiB of KV cache for {} positions", gib(plan.kv_bytes), plan.positions));
  if (plan.workspace_bytes > 0)
    parts.push_back(
        fmt::format("{:.2f} GiB of work space for {} rows", gib(plan.workspace_bytes), plan.rows));
  return fmt::format("{}", fmt::join(parts, ", "));
}

Error does_not_fit(const CapacityPlan& plan, std::string device, std::string actual) {
  return {.code = ErrorCode::model_load,
          .what = "the model does not fit into memory",
          .where = std::move(device),
          .expected = "room for " + to_string(plan),
          .actual = std::move(actual),
          .hint = plan.weights_bytes == 0 ? "Ask for a smaller context (--ctx)"
                                          : "Ask for a smaller context (--ctx), or take a file with smaller "
                                            "weights"};
}

}  // namespace trine::device
