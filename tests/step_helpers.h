#pragma once

#include "model/open_slot.h"

#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

namespace trine::test {

// What `result` holds; throws its error.
template <typename T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(to_string(result.error()));
  return *std::move(result);
}

// Tokens from `position` on as rows of a slot, the logits of each wanted.
inline model::Step rows_of(const std::vector<std::int32_t>& tokens, std::int32_t position, std::int32_t slot,
                           model::Wants wants = model::Wants::logits) {
  model::Step step;
  for (const std::int32_t token : tokens) step.rows.push_back({token, position++, slot, wants});
  return step;
}

}  // namespace trine::test
