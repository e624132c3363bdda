#include "contract/receipt.h"

#include "contract/receipt_json.h"
#include "contract/sha256.h"
#include "trine_version.h"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace trine::contract {
namespace {

Error missing(std::string_view field) {
  return {ErrorCode::validation_failed,
          "a receipt without this field says nothing",
          std::string(field),
          {},
          {},
          {}};
}

bool is_verdict(std::string_view text) {
  for (const Verdict verdict : {Verdict::pass, Verdict::fail, Verdict::refused, Verdict::not_run})
    if (text == name_of(verdict)) return true;
  return false;
}

Result<void> check_leg(const ReceiptLeg& leg) {
  const std::string where = fmt::format("legs[{} {}]", leg.leg, leg.numerics);
  if (leg.leg.size() != 1 || title_of(leg.leg[0]).empty()) return fail(missing("legs[].leg"));
  if (leg.numerics.empty()) return fail(missing(where + ".numerics"));
  if (!is_verdict(leg.verdict)) return fail(missing(where + ".verdict"));
  const bool passed = leg.verdict == name_of(Verdict::pass);
  if (!passed && leg.reason.empty()) return fail(missing(where + ".reason"));
  // A pass without a figure is a claim without a measurement.
  if (passed && leg.figures.empty()) return fail(missing(where + ".figures"));
  for (const Figure& figure : leg.figures) {
    if (figure.name.empty()) return fail(missing(where + ".figures[].name"));
    if (figure.n == 0) return fail(missing(fmt::format("{}.figures[{}].n", where, figure.name)));
  }
  return {};
}

Result<void> check_device(const model::DeviceInfo& device) {
  if (device.backend.empty()) return fail(missing("device.backend"));
  if (device.name.empty()) return fail(missing("device.name"));
  if (device.type.empty()) return fail(missing("device.type"));
  if (device.api.empty()) return fail(missing("device.api"));
  if (device.driver.empty()) return fail(missing("device.driver"));
  for (std::size_t i = 0; i < device.stage_place.size(); ++i)
    if (device.stage_place[i].empty())
      return fail(
          missing(fmt::format("device.stage_place.{}", model::name_of(static_cast<model::Stage>(i)))));
  return {};
}

ReceiptLeg receipt_leg(const LegResult& leg) {
  ReceiptLeg out;
  out.leg = std::string(1, leg.leg);
  out.numerics = name_of(leg.numerics);
  out.verdict = name_of(leg.result.verdict);
  out.reason = leg.result.reason;
  out.figures = leg.result.figures;
  std::erase_if(out.figures, [](const Figure& figure) { return figure.n == 0; });
  out.first_divergence = leg.result.first_divergence;
  out.swaps = leg.result.swaps;
  out.swaps.resize(std::min(out.swaps.size(), max_receipt_swaps));
  out.choices = leg.choices;
  out.choices_different = leg.choices_different;
  return out;
}

}  // namespace

Result<ToolIdentity> this_tool() {
  TRINE_TRY(std::string sum, sha256_of_file("/proc/self/exe", {}));
  return ToolIdentity{TRINE_VERSION, TRINE_COMMIT, std::move(sum)};
}

Result<Receipt> make_receipt(const GateResult& result, const ToolIdentity& tool, std::string finished) {
  Receipt receipt;
  receipt.tool = tool;
  receipt.model = result.model;
  receipt.prompts = result.prompts;
  receipt.reference_sha256 = result.reference_sha256;
  if (!result.devices.empty()) receipt.device = result.devices.front();
  // A CPU has none to report; an empty field would read like a forgotten one.
  if (receipt.device.type == "cpu" && receipt.device.driver.empty()) receipt.device.driver = "none";
  for (const model::DeviceInfo& device : result.devices)
    receipt.numerics.emplace_back(name_of(device.numerics));
  for (const LegResult& leg : result.legs) receipt.legs.push_back(receipt_leg(leg));
  receipt.left_out = result.left_out;
  receipt.verdict = name_of(result.verdict);
  receipt.reason = result.reason;
  receipt.finished = std::move(finished);
  receipt.seconds = result.seconds;
  TRINE_CHECK_OK(check_complete(receipt));
  return receipt;
}

Result<void> check_complete(const Receipt& receipt) {
  if (receipt.tool.version.empty()) return fail(missing("tool.version"));
  if (receipt.tool.commit.empty()) return fail(missing("tool.commit"));
  if (!is_sha256(receipt.tool.binary_sha256)) return fail(missing("tool.binary_sha256"));
  if (receipt.model.path.empty()) return fail(missing("model.path"));
  if (!is_sha256(receipt.model.sha256)) return fail(missing("model.sha256"));
  if (receipt.model.bytes == 0) return fail(missing("model.bytes"));
  if (receipt.model.layers_in_file <= 0) return fail(missing("model.layers_in_file"));
  if (receipt.model.layers_run <= 0) return fail(missing("model.layers_run"));
  if (!is_sha256(receipt.prompts.sha256)) return fail(missing("prompts.sha256"));
  if (receipt.prompts.count == 0) return fail(missing("prompts.count"));
  if (receipt.prompts.tokens <= 0) return fail(missing("prompts.tokens"));
  if (receipt.prompts.source.empty()) return fail(missing("prompts.source"));
  if (!is_verdict(receipt.verdict)) return fail(missing("verdict"));
  const bool passed = receipt.verdict == name_of(Verdict::pass);
  if (!passed && receipt.reason.empty()) return fail(missing("reason"));
  if (passed && !is_sha256(receipt.reference_sha256)) return fail(missing("reference_sha256"));
  TRINE_CHECK_OK(check_device(receipt.device));
  if (receipt.numerics.empty()) return fail(missing("numerics"));
  if (receipt.legs.empty()) return fail(missing("legs"));
  for (const ReceiptLeg& leg : receipt.legs) TRINE_CHECK_OK(check_leg(leg));
  if (receipt.model.layers_run < receipt.model.layers_in_file && receipt.left_out.empty())
    return fail(missing("left_out"));
  if (receipt.finished.empty()) return fail(missing("finished"));
  return {};
}

Result<std::string> to_json(const Receipt& receipt) {
  TRINE_CHECK_OK(check_complete(receipt));
  return dump_receipt(receipt);
}

Result<Receipt> read_receipt(std::string_view text) {
  TRINE_TRY(Receipt receipt, parse_receipt(text));
  TRINE_CHECK_OK(check_complete(receipt));
  return receipt;
}

}  // namespace trine::contract
