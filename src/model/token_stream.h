#pragma once

#include "base/error.h"

#include <cstdint>
#include <vector>

namespace trine::model {

// Decoding of one sequence whose tokens are chosen where the model runs. The rules of choice are those of
// engine::Sampler without penalties and bias.
struct StreamRequest {
  std::vector<std::int32_t> page_table;  // of the sequence, for all positions that its steps reach
  std::int32_t token = 0;                // the first to run
  std::int32_t position = 0;             // where; every position before it has been run
  std::int32_t steps = 0;                // tokens to choose at most, at least 1
  float temperature = 0;                 // 0: greedy
  std::int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  std::uint64_t seed = 0;
  std::uint64_t draws = 0;  // made so far: the first choice is draw number `draws`
};

// What TokenStream::next() gives where the logits have a NaN or +infinity, or no finite one.
inline constexpr std::int32_t no_token = -1;

// What a stream cost so far.
struct StreamCost {
  std::int32_t steps = 0;     // handed to the device
  double encode_seconds = 0;  // of the host: recording and submitting them
  double wait_seconds = 0;    // of the host: for tokens that were not there yet
  std::uint64_t dispatches = 0;
};

// Tokens of one sequence, in order. Steps may run ahead of what was asked for: next() returns while later
// ones are on their way. It may be destroyed at any time: what ran ahead is dropped, and the KV cache holds
// the first token and all that next() gave but the last, so that forward() can go on from there. The page
// table's other positions hold nothing of use then.
class TokenStream {
 public:
  virtual ~TokenStream() = default;

  // Runs the token before (the request's, at first) and gives the one chosen behind it, or no_token;
  // forward() on that row shows the logits then. Errors: inference (a device fault, more than `steps`
  // tokens). After an error or no_token, only destroy it.
  virtual Result<std::int32_t> next() = 0;
  virtual StreamCost cost() const = 0;
};

}  // namespace trine::model
