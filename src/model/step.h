#pragma once

#include "sampling/sampler.h"

#include <cstdint>
#include <vector>

namespace trine::model {

// One step: some rows, each a token of some sequence, run through the model together.

// As Row::token: what the row's slot chose last, which the host need not know yet.
inline constexpr std::int32_t last_choice = -1;
// In StepOutput::tokens: the logits hold a NaN or +infinity, or none is finite.
inline constexpr std::int32_t no_token = -1;

// What is wanted of the logits behind a row.
enum class Wants : std::uint8_t { nothing, token, logits, both };
constexpr bool wants_token(Wants wants) {
  return wants == Wants::token || wants == Wants::both;
}
constexpr bool wants_logits(Wants wants) {
  return wants == Wants::logits || wants == Wants::both;
}

struct Row {
  std::int32_t token = 0;     // an id, or last_choice
  std::int32_t position = 0;  // in its sequence, from 0
  std::int32_t slot = 0;
  Wants wants = Wants::nothing;
};

// Rows of one slot come in ascending, gap-free positions, and every earlier position of that slot has been
// run. At most one row of a slot wants a token: its last. Rows of prompts and rows of decoding may be mixed.
struct Step {
  std::vector<Row> rows;
};

// Names a step that was submitted.
using Ticket = std::uint64_t;

struct StepOutput {
  std::vector<std::int32_t> tokens;  // chosen for the rows that want one, in their order; an id or no_token
  std::vector<float> logits;         // [rows that want them][vocab_size] in their order, before penalties
  std::uint64_t launches = 0;        // of kernels, on devices that have such
};

// How a slot's tokens are chosen: the rules of sampling::Sampler.
struct Choosing {
  sampling::SamplingParams params = {.temperature = 0};
  // What the penalties know at the start: the prompt, and tokens that were chosen for this sequence before,
  // which also number the next draw.
  std::vector<std::int32_t> prompt = {};
  std::vector<std::int32_t> chosen = {};
};

// What a model was loaded for.
struct StepLimits {
  std::int32_t kv_page_size = 0;  // positions
  std::int32_t kv_pages = 0;
  std::int32_t rows = 0;         // of a step, at most
  std::int32_t slots = 0;        // open at a time
  std::int32_t steps_ahead = 0;  // submitted and not waited for; 1 where submit() does the work itself
};

// A sequence as the device knows it.
struct Slot {
  bool is_open = false;
  std::vector<std::int32_t> pages;  // entry p holds positions [p · kv_page_size, (p + 1) · kv_page_size)
  std::int32_t length = 0;          // positions that have been run, or were there with the pages
  Choosing choosing;
  std::uint64_t draws = 0;             // made or on their way
  bool has_choice = false;             // whether last_choice means something
  std::vector<std::uint32_t> allowed;  // bit t % 32 of word t / 32: token t may be chosen; empty: all may
};

// A step that was checked, with what every backend reads off its rows.
struct StepPlan {
  // Of StepLimits::steps_ahead, from 0: free when the step is submitted, and the step's own until it is
  // taken.
  std::int32_t ring_index = 0;
  const std::vector<Row>& rows;
  const std::vector<Slot>& slots;              // as they were before the step, but for `length` and `draws`
  std::vector<std::int32_t> head_rows = {};    // that want a token or logits, ascending
  std::vector<std::int32_t> token_rows = {};   // that want a token
  std::vector<std::int32_t> logits_rows = {};  // that want logits
  std::vector<std::uint64_t> draws = {};       // the number of each token row's draw
  std::int32_t positions = 0;                  // of the longest sequence, with this step
  bool one_each = false;                       // whether all rows are of different slots

  const Slot& slot_of(const Row& row) const { return slots[static_cast<std::size_t>(row.slot)]; }
};

}  // namespace trine::model
