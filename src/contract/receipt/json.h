#pragma once

#include "contract/receipt/receipt.h"

#include <string>
#include <string_view>

namespace trine::contract {

// A receipt as JSON and back, without judging whether it is complete: one list of fields for both ways.
inline constexpr std::string_view receipt_format = "trine-receipt-1";

// NaN and infinity, which JSON lacks, are written as the texts "nan", "inf" and "-inf".
std::string dump_receipt(const Receipt& receipt);
// Errors: validation_failed (no JSON, another format, a field that is missing, unknown or of another kind).
Result<Receipt> parse_receipt(std::string_view text);

}  // namespace trine::contract
