#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "sampling/sampler.h"
#include "text/tokenizer.h"

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace trine::engine {

enum class FinishReason { end_of_generation, length, stop_string, context_full, cancelled };
std::string_view name_of(FinishReason reason);

struct GenerateRequest {
  std::vector<std::int32_t> prompt;  // at least one token, at most the context
  std::int32_t max_tokens = -1;      // -1: until the context is full
  std::int32_t context = 0;          // positions to use at most; 0: all that the model and its KV cache have
  sampling::SamplingParams sampling;
  std::vector<std::string>
      stop;  // generation ends before the first of these (stop_filter.h); none is ever shown
  std::function<void(std::string_view)>
      on_text;  // whole UTF-8 characters, as soon as no stop string can begin in them
  const std::atomic<bool>* cancel = nullptr;  // polled between tokens and prefill slices
};

struct GenerateResult {
  std::string text;                  // what on_text was given, joined; control tokens have no text
  std::vector<std::int32_t> tokens;  // generated ids, without the end token; with those of a stop string
  FinishReason finish = FinishReason::length;
  double first_token_seconds = 0;  // from the call until the first token was there
  double decode_seconds = 0;       // for all tokens after the first
};

// Runs one request alone on the model, on which no slot is open, from an empty KV cache. The context is the
// shortest of what the request allows, what the model was made for and what the KV cache holds (which comes
// in whole pages, so it may hold more than was asked of the backend); a prompt that fills it still gets the
// one token that follows it. Errors: usage (an empty prompt, one that does not fit the context: says both
// lengths; sampling parameters that validate() refuses; an empty stop string), inference (for logits: says
// behind which position).
Result<GenerateResult> generate(model::DeviceModel& model, const text::Tokenizer& tokenizer,
                                const GenerateRequest& request);

}  // namespace trine::engine
