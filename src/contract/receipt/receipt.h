#pragma once

#include "base/error.h"
#include "contract/gate/gate.h"
#include "contract/judge/result.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trine::contract {

// What `trine verify` leaves behind: one JSON object per (model, backend, device). docs/contract.md tells how
// to read it.

struct ToolIdentity {
  std::string version;
  std::string commit;
  std::string binary_sha256;  // of the executable that ran
};
// Of this program. Errors: io.
Result<ToolIdentity> this_tool();

struct ReceiptLeg {
  std::string leg;       // "X"
  std::string numerics;  // "exact"
  std::string verdict;
  std::string reason;  // empty only for a pass
  std::vector<Figure> figures;
  std::optional<Divergence> first_divergence;
  std::vector<ExpertSwap> swaps;  // at most max_receipt_swaps; the leg's figures count all
  std::size_t choices = 0;
  std::size_t choices_different = 0;
};
inline constexpr std::size_t max_receipt_swaps = 256;
// Where a stage ran, of a run that ended before the device said it.
inline constexpr std::string_view place_not_known = "not known";

struct Receipt {
  ToolIdentity tool;
  FileIdentity model;
  PromptIdentity prompts;
  std::optional<GoldenIdentity> goldens;  // of leg R
  std::string reference_sha256;
  model::DeviceInfo device;           // name, type, driver, API, threads, stage_place
  std::string counts_as;              // what the device does: software.h
  std::vector<std::string> numerics;  // modes that ran
  std::vector<ReceiptLeg> legs;
  std::vector<std::string> left_out;
  std::string verdict;
  std::string reason;
  std::string finished;  // UTC, "2026-11-23T20:00:00Z"
  double seconds = 0;
};

// A complete receipt, or why there is none. Errors: validation_failed, naming the field that is missing or
// that contradicts another one.
Result<Receipt> make_receipt(const GateResult& result, const ToolIdentity& tool, std::string finished);
// Judges every figure against its bound again, and the verdict by the legs (receipt_check.cpp).
Result<void> check_complete(const Receipt& receipt);

// Errors of to_json: those of check_complete. Errors of read_receipt: validation_failed (no JSON, another
// format, a field that is missing, unknown or of another kind, by name).
Result<std::string> to_json(const Receipt& receipt);
Result<Receipt> read_receipt(std::string_view text);

}  // namespace trine::contract
