#pragma once

#include "gguf/file.h"

#include <cstdint>
#include <optional>

namespace trine::cli {

// What a model costs in memory and memory traffic, from tensor names and metadata alone, so that models we
// cannot run are described too.
struct ModelCost {
  std::uint64_t parameters = 0;
  std::uint64_t weight_bytes = 0;
  // Read for one token: everything but the experts that are not chosen and, unless it is the output matrix
  // too, all rows but one of the token embedding. "Active parameters" on model cards often count the whole
  // embedding.
  std::uint64_t active_parameters = 0;
  std::uint64_t active_bytes = 0;
  // Keys and values of one token in 16-bit floats. Empty when the metadata does not describe plain attention.
  std::optional<std::uint64_t> kv_bytes_per_token;
  std::optional<std::uint64_t> context_length;
};

ModelCost model_cost(const gguf::File& file);

}  // namespace trine::cli
