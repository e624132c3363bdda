// What kernels that choose tokens know of a step, and of the slots it chooses for.
//
// Constants: VOCAB = V, RING (tokens that a slot's ring holds at most).

struct Step {
  n_rows: u32,
  n_logits: u32,  // rows of the slice that is computed
  n_splits: u32,
  zero: u32,  // which no compiler knows
  first_logits: u32,  // of the slice, among the rows whose logits are computed
  is_timed: u32,      // not 0: choices are made and forgotten
}

// How a slot chooses: as sampling::SamplingParams has it.
struct Rules {
  temperature: f32,  // 0: greedy
  top_k: u32,        // 0: off; 1: greedy
  top_p: f32,
  min_p: f32,
  seed: vec2<u32>,        // low, high
  positive_scale: f32,    // of a positive logit of a token that was seen: 1 / repeat penalty
  other_scale: f32,       // of any other one
  presence_penalty: f32,
  frequency_penalty: f32,
  window: u32,  // tokens that count as seen, the last ones; NO_WINDOW, or ALL_TOKENS
  flags: u32,
}
const HAS_TALLIES = 1u;  // penalties or a bias
const HAS_MASK = 2u;
const NO_WINDOW = 0u;
const ALL_TOKENS = 0xffffffffu;
const NO_TOKEN = 0xffffffffu;

// One per row whose logits are computed, in the order of rows.
struct Choice {
  slot: u32,
  draw: vec2<u32>,  // its number: low, high
  wants_token: u32,
}
fn choice_of(words: vec4<u32>) -> Choice {
  return Choice(words.x, words.yz, words.w);
}

// Larger for a larger number, equal for both zeros; all bits for a NaN.
fn order_key(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) {
    return 0xffffffffu;
  }
  return select(0x80000000u | size, 0x80000000u - size, (bits >> 31u) != 0u);
}
const KEY_MINUS_INFINITY = 0x00800000u;
const KEY_PLUS_INFINITY = 0xff800000u;

// Where a slot's tallies of a token stand: how often it was seen within the window, and generated, and its bias.
fn seen_at(slot: u32, token: u32) -> u32 {
  return 3u * slot * VOCAB + token;
}
fn generated_at(slot: u32, token: u32) -> u32 {
  return (3u * slot + 1u) * VOCAB + token;
}
fn bias_at(slot: u32, token: u32) -> u32 {
  return (3u * slot + 2u) * VOCAB + token;
}
