#pragma once

#include "base/error.h"
#include "model/config.h"
#include "model/keys.h"

#include <cstdint>
#include <string>
#include <vector>

namespace trine::model {

inline constexpr std::int64_t max_context = 1 << 30;

// What yarn multiplies cos and sin by: equation 22 of the YaRN paper.
double yarn_attention_factor(double factor);

// Keys as gguf-py writes them, meanings as llama.cpp gives them; `warnings` gets a sentence for what is not
// followed. Errors: those of read_config().
Result<RopeScaling> read_rope_scaling(const Keys& keys, std::int32_t context_length,
                                      std::vector<std::string>& warnings);

}  // namespace trine::model
