#include "contract/receipt/receipt.h"

#include "base/sha256.h"
#include "contract/receipt/json.h"
#include "model/device_names.h"
#include "trine_version.h"

#include <algorithm>
#include <utility>

namespace trine::contract {
namespace {

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
  receipt.goldens = result.goldens;
  receipt.reference_sha256 = result.reference_sha256;
  if (!result.devices.empty()) receipt.device = result.devices.front();
  // A CPU has none to report; an empty field would read like a forgotten one.
  if (receipt.device.type == model::cpu_type && receipt.device.driver.empty()) receipt.device.driver = "none";
  // A run that was refused or failed early has traced none, or some.
  for (std::string& place : receipt.device.stage_place)
    if (place.empty()) place = place_not_known;
  receipt.counts_as = counts_as(receipt.device);
  // A variant that a self-test switched off belongs to one mode or to both; what was left out, to both.
  std::vector<std::string>& off = receipt.device.switched_off;
  for (const model::DeviceInfo& device : result.devices)
    for (const std::string& variant : device.switched_off)
      if (std::find(off.begin(), off.end(), variant) == off.end()) off.push_back(variant);
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
