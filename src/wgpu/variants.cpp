#include "wgpu/variants.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace trine::wgpu {
namespace {

struct Named {
  std::string_view name;
  bool Variants::*variant;
};

constexpr Named table[] = {{"subgroups", &Variants::subgroups},
                           {"f16", &Variants::f16},
                           {"timestamps", &Variants::timestamps},
                           {"integer-dot", &Variants::integer_dot}};

Result<void> leave_out(std::string_view name, std::string_view asked_by, Variants& variants) {
  const auto* found =
      std::find_if(std::begin(table), std::end(table), [&](const Named& one) { return one.name == name; });
  if (found == std::end(table)) {
    std::vector<std::string_view> known;
    for (const Named& one : table) known.push_back(one.name);
    return fail({.code = ErrorCode::usage,
                 .what = "WebGPU has nothing of this name to leave out",
                 .where = std::string(asked_by),
                 .expected = fmt::format("some of {}", fmt::join(known, ", ")),
                 .actual = std::string(name)});
  }
  variants.*found->variant = false;
  return {};
}

}  // namespace

Result<Variants> variants_without(std::span<const std::string> names) {
  Variants variants;
  for (const std::string& name : names) TRINE_CHECK_OK(leave_out(name, "--without", variants));
  constexpr const char* variable = "TRINE_WGPU_WITHOUT";
  const char* value = std::getenv(variable);
  for (std::string_view rest = value == nullptr ? "" : value; !rest.empty();) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    TRINE_CHECK_OK(leave_out(rest.substr(0, end), variable, variants));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return variants;
}

Variants operator&(const Variants& a, const Variants& b) {
  Variants both;
  for (const Named& one : table) both.*one.variant = a.*one.variant && b.*one.variant;
  return both;
}

std::vector<std::string> names_of_missing(const Variants& some, const Variants& all) {
  std::vector<std::string> names;
  for (const Named& one : table)
    if (all.*one.variant && !(some.*one.variant)) names.emplace_back(one.name);
  return names;
}

}  // namespace trine::wgpu
