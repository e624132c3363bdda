// Draws the next token of each row as sampling::Sampler does behind penalties, bias and mask: temperature, top-k, top-p,
// min-p, then the lowest id whose running sum of weights w = exp((logit - largest) / temperature), in id order,
// exceeds u · sum(w). One workgroup per row; argmax.wgsl has run.
//
// The filters are cuts in an order of the tokens, found without sorting: the range of keys that holds the cut is
// narrowed 1024-fold per pass by a histogram of what it holds. Weights are sums of 2^-32, so that sums are exact
// integers of 64 bits (low, high) in any order, and u · sum is exact too. What differs from the host, which sums
// double weights: a weight is rounded to 2^-32, and top-p takes (logit - largest) / temperature of 2^-23 apart for
// equal; together below 1e-5 of the sum.
//
// L rows, V vocabulary, P parts of argmax.wgsl. best [L][P]; values: logits [L][V] f32, or with CANDIDATES what
// top_of_parts.wgsl left of them, [L][P·MOST_K] (id, logit). The slot's last choice becomes the token; NO_TOKEN where a
// logit is NaN or +infinity, or none is finite. Which of the two forms ran cannot be told from the result: what is left
// out has no part in any sum.
// Files before it: choice, accept. Constants: WORKGROUP (at most 1024), PARTS = P, CANDIDATES (bool), MOST_K and those
// of choice.
// Grid: (1, L, 1); rows from n_logits on, and those that choose no token, are left alone.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> choices: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> rules: array<Rules>;
@group(0) @binding(3) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> last_choices: array<u32>;
@group(0) @binding(5) var<storage, read_write> tallies: array<u32>;
@group(0) @binding(6) var<storage, read_write> rings: array<u32>;
@group(0) @binding(7) var<storage, read> values: array<u32>;

const BINS = 1024u;
const SEGMENT = 32u;

// What is measured, and by which key tokens are ordered.
const COUNT = 0u;   // tokens, by falling logit
const WEIGHT = 1u;  // weights of what top-k left, by falling weight
const DRAW = 2u;    // weights of what all filters left

var<workgroup> low: array<atomic<u32>, BINS>;
var<workgroup> high: array<atomic<u32>, BINS>;
var<workgroup> segments: array<vec2<u32>, BINS / SEGMENT>;
var<workgroup> found: array<u32, 4>;

// Set alike by every invocation.
var<private> first_value: u32;  // of the row
var<private> count: u32;        // of the tokens to choose from, which have the numbers 0, 1, … in the order of ids
var<private> length: u32;       // consecutive numbers of a lane
var<private> largest: f32;
var<private> best_key: u32;
var<private> sampling: Rules;
var<private> draw_number: vec2<u32>;
// Tokens with a smaller key stay, and those of this key up to an id.
var<private> count_cut: vec2<u32>;
var<private> weight_cut: vec2<u32>;

// The bits of a token's logit.
fn logit_bits(number: u32) -> u32 {
  if (CANDIDATES) {
    return values[2u * (first_value + number) + 1u];
  }
  return values[first_value + number];
}

// Its id.
fn id_of(number: u32) -> u32 {
  if (CANDIDATES) {
    return values[2u * (first_value + number)];
  }
  return number;
}

fn add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let sum = a.x + b.x;
  return vec2(sum, a.y + b.y + select(0u, 1u, sum < a.x));
}

fn subtract(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// The product of two words: low, high.
fn multiply(a: u32, b: u32) -> vec2<u32> {
  let low_product = (a & 0xffffu) * (b & 0xffffu);
  let mid = (a >> 16u) * (b & 0xffffu) + (low_product >> 16u);
  let mid2 = (a & 0xffffu) * (b >> 16u) + (mid & 0xffffu);
  return vec2(a * b, (a >> 16u) * (b >> 16u) + (mid >> 16u) + (mid2 >> 16u));
}

// sum · share / 2^32, rounded down, and whether that dropped anything.
fn part_of(sum: vec2<u32>, share: u32) -> vec3<u32> {
  let small = multiply(sum.x, share);
  let product = add(multiply(sum.y, share), vec2(small.y, 0u));
  return vec3(product, select(0u, 1u, small.x != 0u));
}

// The first word of the Philox4x32-10 block at the row's draw (src/base/random.h).
fn random_word() -> u32 {
  var c = vec4(draw_number, 0u, 0u);
  var k = sampling.seed;
  for (var round = 0u; round < 10u; round++) {
    let a = multiply(0xD2511F53u, c.x);
    let b = multiply(0xCD9E8D57u, c.z);
    c = vec4(b.y ^ c.y ^ k.x, b.x, a.y ^ c.w ^ k.y, a.x);
    k += vec2(0x9E3779B9u, 0xBB67AE85u);
  }
  return c.x;
}

// (largest - logit) / temperature.
fn distance_of(id: u32) -> f32 {
  return (largest - bitcast<f32>(logit_bits(id))) / sampling.temperature;
}

// The token's key: smaller is better.
fn key_of(kind: u32, id: u32) -> u32 {
  if (kind == COUNT) {
    return best_key - order_key(logit_bits(id));
  }
  return u32(min(distance_of(id), 127.0) * 8388608.0);
}

fn within(cut: vec2<u32>, key: u32, id: u32) -> bool {
  return key < cut.x || (key == cut.x && id <= cut.y);
}

// What the token adds to a sum of this kind.
fn measure(kind: u32, id: u32) -> u32 {
  if (kind == COUNT) {
    return 1u;
  }
  let distance = distance_of(id);
  if (distance > 23.0 || !within(count_cut, key_of(COUNT, id), id)) {  // exp(-23) rounds to 0
    return 0u;
  }
  let weight = select(exp(-distance), 1.0, distance == 0.0);
  if (kind == DRAW && (!within(weight_cut, key_of(WEIGHT, id), id) || weight < sampling.min_p)) {
    return 0u;
  }
  if (weight >= 1.0) {
    return 0xffffffffu;
  }
  return u32(min(weight * 4294967296.0 + 0.5, 4294967040.0));
}

fn clear_bins(lane: u32) {
  for (var i = lane; i < BINS; i += WORKGROUP) {
    atomicStore(&low[i], 0u);
    atomicStore(&high[i], 0u);
  }
  workgroupBarrier();
}

fn bin(i: u32) -> vec2<u32> {
  return vec2(atomicLoad(&low[i]), atomicLoad(&high[i]));
}

// The sum of the bins, once they are filled; the same in every lane. Fills segments.
fn total(lane: u32) -> vec2<u32> {
  workgroupBarrier();
  if (lane < BINS / SEGMENT) {
    var sum = vec2<u32>();
    for (var i = 0u; i < SEGMENT; i++) {
      sum = add(sum, bin(lane * SEGMENT + i));
    }
    segments[lane] = sum;
  }
  workgroupBarrier();
  var sum = vec2<u32>();
  for (var i = 0u; i < BINS / SEGMENT; i++) {
    sum = add(sum, segments[i]);
  }
  return sum;
}

// The first bin at which the running sum is at least `goal`, and the sum before it (after total()). The last bin
// that holds anything when the whole is less.
struct Place { bin: u32, before: vec2<u32> }
fn locate(goal: vec2<u32>, lane: u32) -> Place {
  if (lane == 0u) {
    var before = vec2<u32>();
    var segment = 0u;
    for (; segment + 1u < BINS / SEGMENT; segment++) {
      let next = add(before, segments[segment]);
      if (!less(next, goal)) {
        break;
      }
      before = next;
    }
    var i = segment * SEGMENT;
    for (; i + 1u < BINS; i++) {
      let next = add(before, bin(i));
      if (!less(next, goal)) {
        break;
      }
      before = next;
    }
    found[0] = i;
    found[1] = before.x;
    found[2] = before.y;
  }
  workgroupBarrier();
  let place = Place(found[0], vec2(found[1], found[2]));
  workgroupBarrier();
  return place;
}

// The measures of each lane's ids, into the bin of its number; of those whose key is `key` unless the kind is DRAW.
fn sum_by_lane(kind: u32, key: u32, lane: u32) -> vec2<u32> {
  clear_bins(lane);
  var sum = vec2<u32>();
  for (var id = lane * length; id < min((lane + 1u) * length, count); id++) {
    if (kind == DRAW || key_of(kind, id) == key) {
      sum = add(sum, vec2(measure(kind, id), 0u));
    }
  }
  atomicStore(&low[lane], sum.x);
  atomicStore(&high[lane], sum.y);
  return total(lane);
}

// After sum_by_lane(): the id at which the running sum of measures, in id order, reaches `goal`.
fn id_at(kind: u32, key: u32, goal: vec2<u32>, lane: u32) -> u32 {
  let place = locate(goal, lane);
  if (lane == place.bin) {
    var sum = place.before;
    var last = 0u;
    for (var id = lane * length; id < min((lane + 1u) * length, count) && less(sum, goal); id++) {
      if (kind == DRAW || key_of(kind, id) == key) {
        let one = measure(kind, id);
        sum = add(sum, vec2(one, 0u));
        last = select(last, id, one > 0u);
      }
    }
    found[3] = last;
  }
  workgroupBarrier();
  let id = found[3];
  workgroupBarrier();
  return id;
}

// Where the smallest set of best tokens ends whose measures sum to at least `goal` (COUNT), or to `goal` / 2^32 of
// the whole (WEIGHT).
fn find_cut(kind: u32, goal_in: u32, lane: u32) -> vec2<u32> {
  var goal = vec2(goal_in, 0u);
  var base = 0u;
  let first_shift = select(20u, 22u, kind == COUNT);  // weights have keys of 30 bits
  var shift = first_shift;
  loop {
    clear_bins(lane);
    for (var id = lane; id < count; id += WORKGROUP) {
      let key = key_of(kind, id);
      let i = (key - base) >> shift;
      if (key >= base && i < BINS) {
        let one = measure(kind, id);
        if (one > 0u) {
          let old = atomicAdd(&low[i], one);
          if (old + one < old) {
            atomicAdd(&high[i], 1u);
          }
        }
      }
    }
    let sum = total(lane);
    if (kind == WEIGHT && shift == first_shift) {
      let part = part_of(sum, goal_in);
      goal = add(part.xy, vec2(part.z, 0u));
      if (goal.x == 0u && goal.y == 0u) {
        goal.x = 1u;
      }
    }
    let place = locate(goal, lane);
    let rest = subtract(goal, place.before);
    let here = bin(place.bin);
    workgroupBarrier();
    base += place.bin << shift;
    // All of the bin belongs to the set.
    if (kind == COUNT && here.x == rest.x) {
      return vec2(base + ((1u << shift) - 1u), 0xffffffffu);
    }
    goal = rest;
    if (shift == 0u) {
      break;
    }
    shift = max(shift, 10u) - 10u;
  }
  sum_by_lane(kind, base, lane);
  return vec2(base, id_at(kind, base, goal, lane));
}

// Called by every invocation.
fn draw(lane: u32) -> u32 {
  count_cut = vec2(0xffffffffu, 0xffffffffu);
  weight_cut = count_cut;
  if (sampling.top_k > 0u && sampling.top_k < count) {
    count_cut = find_cut(COUNT, sampling.top_k, lane);
  }
  if (sampling.top_p < 1.0) {
    weight_cut = find_cut(WEIGHT, u32(sampling.top_p * 4294967296.0), lane);
  }
  let sum = sum_by_lane(DRAW, 0u, lane);
  let goal = add(part_of(sum, random_word()).xy, vec2(1u, 0u));
  return id_at(DRAW, 0u, goal, lane);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_logits) {
    return;
  }
  let choice = choice_of(choices[step.first_logits + row]);
  if (choice.wants_token == 0u) {
    return;
  }
  // Parts are in the order of ids: only a larger key replaces an earlier one.
  var winner = best[row * PARTS];
  for (var i = 1u; i < PARTS; i++) {
    let candidate = best[row * PARTS + i];
    if (candidate.x > winner.x) {
      winner = candidate;
    }
  }
  best_key = winner.x;
  sampling = rules[choice.slot];
  draw_number = choice.draw;
  first_value = row * select(VOCAB, PARTS * MOST_K, CANDIDATES);
  count = select(VOCAB, PARTS * min(sampling.top_k, MOST_K), CANDIDATES);
  length = (count + WORKGROUP - 1u) / WORKGROUP;
  var token = winner.y;
  if (!(winner.x > KEY_MINUS_INFINITY && winner.x < KEY_PLUS_INFINITY)) {
    token = NO_TOKEN;
  } else if (sampling.temperature != 0.0 && sampling.top_k != 1u) {
    largest = bitcast<f32>(bits_of_key(winner.x));
    token = id_of(draw(lane));
  }
  if (lane == 0u) {
    accept(choice.slot, sampling, token);
  }
}
