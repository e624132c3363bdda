#include "base/sha256.h"
#include "contract/judge/judge.h"
#include "contract/receipt/receipt.h"
#include "model/device_names.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>
#include <utility>

namespace trine::contract {
namespace {

Error missing(std::string_view field) {
  return {.code = ErrorCode::validation_failed,
          .what = "a receipt without this field says nothing",
          .where = std::string(field)};
}

Error contradiction(std::string_view field, std::string what) {
  return {.code = ErrorCode::validation_failed, .what = std::move(what), .where = std::string(field)};
}

std::optional<Verdict> parse_verdict(std::string_view text) {
  for (const Verdict verdict : {Verdict::pass, Verdict::fail, Verdict::refused, Verdict::not_run})
    if (text == name_of(verdict)) return verdict;
  return std::nullopt;
}

std::optional<model::Numerics> parse_numerics(std::string_view text) {
  for (const model::Numerics numerics : {model::Numerics::exact, model::Numerics::fast})
    if (text == name_of(numerics)) return numerics;
  return std::nullopt;
}

// ---- Legs ----

// ">= 0.999" as its relation and limit; nothing when it is neither.
struct ReadBound {
  std::string relation;
  double limit = 0;
};
std::optional<ReadBound> parse_bound(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  ReadBound bound{std::string(text.substr(0, space)), 0};
  const std::string_view number = text.substr(space + 1);
  const auto [end, problem] = std::from_chars(number.data(), number.data() + number.size(), bound.limit);
  const bool is_relation = bound.relation == ">=" || bound.relation == "<=" || bound.relation == "==";
  const bool is_number =
      problem == std::errc() && end == number.data() + number.size() && std::isfinite(bound.limit);
  if (!is_relation || !is_number) return std::nullopt;
  return bound;
}

// A figure must be one that could have been measured, and of a leg that passed one that lets it pass.
Result<void> check_figure(const Figure& figure, const std::string& where, bool passed) {
  if (figure.n == 0) return fail(missing(where + ".n"));
  const bool is_nan = std::isnan(figure.min) && std::isnan(figure.median) && std::isnan(figure.max);
  if (!is_nan && !(figure.min <= figure.median && figure.median <= figure.max))
    return fail(contradiction(where, "a figure's min, median and max are in another order"));
  const auto bound = parse_bound(figure.bound);
  if (!figure.bound.empty() && !bound)
    return fail(contradiction(where + ".bound", "a bound is no relation and number"));
  if (!passed) return {};
  const bool held = bound ? within(figure.min, figure.max, bound->relation, bound->limit) : !is_nan;
  if (!held) return fail(contradiction(where, "a leg is said to have passed, and this figure does not hold"));
  return {};
}

Result<void> check_leg(const ReceiptLeg& leg) {
  const std::string where = fmt::format("legs[{} {}]", leg.leg, leg.numerics);
  if (leg.leg.size() != 1 || title_of(leg.leg[0]).empty()) return fail(missing("legs[].leg"));
  if (!parse_numerics(leg.numerics)) return fail(missing(where + ".numerics"));
  if (!parse_verdict(leg.verdict)) return fail(missing(where + ".verdict"));
  const bool passed = leg.verdict == name_of(Verdict::pass);
  if (!passed && leg.reason.empty()) return fail(missing(where + ".reason"));
  // A pass without a figure is a claim without a measurement.
  const bool is_held = std::any_of(leg.figures.begin(), leg.figures.end(),
                                   [](const Figure& figure) { return !figure.bound.empty(); });
  if (passed && !is_held) return fail(missing(where + ".figures"));
  for (const Figure& figure : leg.figures) {
    if (figure.name.empty()) return fail(missing(where + ".figures[].name"));
    TRINE_CHECK_OK(check_figure(figure, fmt::format("{}.figures[{}]", where, figure.name), passed));
  }
  return {};
}

// The verdict must be the one that follows from the legs, and every mode must have all of its own.
Result<void> check_verdict(const Receipt& receipt) {
  GateResult again;
  for (const ReceiptLeg& leg : receipt.legs)
    again.legs.push_back(
        leg_without(leg.leg[0], *parse_numerics(leg.numerics), *parse_verdict(leg.verdict), leg.reason));
  conclude(again);
  if (name_of(again.verdict) != receipt.verdict)
    return fail(contradiction("verdict", fmt::format("the verdict is '{}', and the legs come to '{}'",
                                                     receipt.verdict, name_of(again.verdict))));
  for (const std::string& mode : receipt.numerics) {
    const auto numerics = parse_numerics(mode);
    if (!numerics) return fail(missing("numerics"));
    for (const char leg : {*numerics == model::Numerics::exact ? 'X' : 'F', 'D', 'T', 'S'})
      if (again.find(leg, *numerics) == nullptr) return fail(missing(fmt::format("legs[{} {}]", leg, mode)));
  }
  const bool judged_reference = std::any_of(
      receipt.legs.begin(), receipt.legs.end(),
      [](const ReceiptLeg& leg) { return leg.leg == "R" && leg.verdict == name_of(Verdict::pass); });
  if (judged_reference && !receipt.goldens) return fail(missing("goldens"));
  return {};
}

Result<void> check_prompts(const PromptIdentity& prompts, bool passed) {
  if (!is_sha256(prompts.sha256)) return fail(missing("prompts.sha256"));
  if (prompts.count == 0) return fail(missing("prompts.count"));
  if (prompts.tokens <= 0) return fail(missing("prompts.tokens"));
  if (prompts.longest <= 0 || prompts.longest > prompts.tokens) return fail(missing("prompts.longest"));
  if (passed && prompts.largest_batch <= 0) return fail(missing("prompts.largest_batch"));
  if (prompts.source.empty()) return fail(missing("prompts.source"));
  return {};
}

Result<void> check_goldens(const GoldenIdentity& goldens) {
  if (goldens.file.empty()) return fail(missing("goldens.file"));
  if (!is_sha256(goldens.sha256)) return fail(missing("goldens.sha256"));
  if (goldens.source.empty()) return fail(missing("goldens.source"));
  if (goldens.cases == 0) return fail(missing("goldens.cases"));
  return {};
}

Result<void> check_device(const Receipt& receipt, bool passed) {
  const model::DeviceInfo& device = receipt.device;
  if (device.backend.empty()) return fail(missing("device.backend"));
  if (device.name.empty()) return fail(missing("device.name"));
  if (device.type.empty()) return fail(missing("device.type"));
  if (device.api.empty()) return fail(missing("device.api"));
  if (device.driver.empty()) return fail(missing("device.driver"));
  for (std::size_t i = 0; i < device.stage_place.size(); ++i) {
    const std::string& place = device.stage_place[i];
    if (place.empty() || (passed && place == place_not_known))
      return fail(
          missing(fmt::format("device.stage_place.{}", model::name_of(static_cast<model::Stage>(i)))));
  }
  if (receipt.counts_as != counts_as(device))
    return fail(
        contradiction("counts_as", fmt::format("a device of type '{}' counts as '{}', and not as '{}'",
                                               device.type, counts_as(device), receipt.counts_as)));
  if (counts_as(device) == "gpu" && !named_software(device).empty())
    return fail(contradiction("device.type", fmt::format("{} is a software adapter, and the type is '{}'",
                                                         named_software(device), device.type)));
  return {};
}

}  // namespace

Result<void> check_complete(const Receipt& receipt) {
  if (receipt.tool.version.empty()) return fail(missing("tool.version"));
  if (receipt.tool.commit.empty()) return fail(missing("tool.commit"));
  if (!is_sha256(receipt.tool.binary_sha256)) return fail(missing("tool.binary_sha256"));
  if (receipt.model.path.empty()) return fail(missing("model.path"));
  if (!is_sha256(receipt.model.sha256)) return fail(missing("model.sha256"));
  if (receipt.model.bytes == 0) return fail(missing("model.bytes"));
  if (receipt.model.layers_in_file <= 0) return fail(missing("model.layers_in_file"));
  if (receipt.model.layers_run <= 0) return fail(missing("model.layers_run"));
  if (receipt.model.layers_run > receipt.model.layers_in_file)
    return fail(contradiction("model.layers_run", "more layers were run than the file has"));
  if (!parse_verdict(receipt.verdict)) return fail(missing("verdict"));
  const bool passed = receipt.verdict == name_of(Verdict::pass);
  TRINE_CHECK_OK(check_prompts(receipt.prompts, passed));
  if (receipt.goldens) TRINE_CHECK_OK(check_goldens(*receipt.goldens));
  if (!passed && receipt.reason.empty()) return fail(missing("reason"));
  if (passed && !is_sha256(receipt.reference_sha256)) return fail(missing("reference_sha256"));
  TRINE_CHECK_OK(check_device(receipt, passed));
  if (receipt.numerics.empty()) return fail(missing("numerics"));
  if (receipt.legs.empty()) return fail(missing("legs"));
  for (const ReceiptLeg& leg : receipt.legs) TRINE_CHECK_OK(check_leg(leg));
  TRINE_CHECK_OK(check_verdict(receipt));
  if (receipt.model.layers_run < receipt.model.layers_in_file && receipt.left_out.empty())
    return fail(missing("left_out"));
  if (receipt.finished.empty()) return fail(missing("finished"));
  return {};
}

}  // namespace trine::contract
