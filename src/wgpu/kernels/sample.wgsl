// Draws the next token of each row as sampling::Sampler does without penalties and bias: temperature, top-k, top-p,
// min-p, then the lowest id whose running sum of weights w = exp((logit - largest) / temperature), in id order,
// exceeds u · sum(w). One workgroup per row; argmax.wgsl has run.
//
// The filters are cuts in an order of the tokens, found without sorting: the range of keys that holds the cut is
// narrowed 1024-fold per pass by a histogram of what it holds. Weights are sums of 2^-32, so that sums are exact
// integers of 64 bits (low, high) in any order, and u · sum is exact too. What differs from the host, which sums
// double weights: a weight is rounded to 2^-32, and top-p takes (logit - largest) / temperature of 2^-23 apart for
// equal; together below 1e-5 of the sum.
//
// L rows, V vocabulary, P parts of argmax.wgsl. logits [L][V] f32; best [L][P]; samplers [L]; tokens [slots]
// [ring_width]: the token goes to entry (ring_slot, row), 0xffffffff where a logit is NaN or +infinity, or none is
// finite. With ADVANCE (every row of the batch wants logits), rows[row] becomes the next step's (that token, one
// position further) and the sampler counts its draw.
// Constants: WORKGROUP (at most 1024), VOCAB = V, PARTS = P, ADVANCE (bool).
// Grid: (1, L, 1); rows from n_logits on are left alone.
struct Params { ring_width: u32 }
struct Step { n_rows: u32, n_logits: u32, n_parts: u32, ring_slot: u32 }
struct Sampling {
  temperature: f32,  // 0: greedy
  top_k: u32,        // 0: off; 1: greedy
  top_p: f32,
  min_p: f32,
  seed: vec2<u32>,   // low, high
  draws: vec2<u32>,  // made so far: low, high
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> logits: array<u32>;
@group(0) @binding(3) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> samplers: array<Sampling>;
@group(0) @binding(5) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(6) var<storage, read_write> rows: array<vec4<u32>>;  // token, position, sequence, flags

const KEY_MINUS_INFINITY = 0x00800000u;
const KEY_PLUS_INFINITY = 0xff800000u;
const LENGTH = (VOCAB + WORKGROUP - 1u) / WORKGROUP;  // consecutive ids of a lane
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
var<private> first_logit: u32;  // of the row
var<private> largest: f32;
var<private> best_key: u32;
var<private> sampling: Sampling;
// Tokens with a smaller key stay, and those of this key up to an id.
var<private> count_cut: vec2<u32>;
var<private> weight_cut: vec2<u32>;

// Larger for a larger number, equal for both zeros.
fn order_key(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  return select(0x80000000u | size, 0x80000000u - size, (bits >> 31u) != 0u);
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
  var c = vec4(sampling.draws, 0u, 0u);
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
  return (largest - bitcast<f32>(logits[first_logit + id])) / sampling.temperature;
}

// The token's key: smaller is better.
fn key_of(kind: u32, id: u32) -> u32 {
  if (kind == COUNT) {
    return best_key - order_key(logits[first_logit + id]);
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
  for (var id = lane * LENGTH; id < min((lane + 1u) * LENGTH, VOCAB); id++) {
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
    for (var id = lane * LENGTH; id < min((lane + 1u) * LENGTH, VOCAB) && less(sum, goal); id++) {
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
    for (var id = lane; id < VOCAB; id += WORKGROUP) {
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
  if (sampling.top_k > 0u && sampling.top_k < VOCAB) {
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
  // Parts are in the order of ids: only a larger key replaces an earlier one.
  var winner = best[row * PARTS];
  for (var i = 1u; i < PARTS; i++) {
    let candidate = best[row * PARTS + i];
    if (candidate.x > winner.x) {
      winner = candidate;
    }
  }
  first_logit = row * VOCAB;
  best_key = winner.x;
  sampling = samplers[row];
  var token = winner.y;
  if (!(winner.x > KEY_MINUS_INFINITY && winner.x < KEY_PLUS_INFINITY)) {
    token = 0xffffffffu;
  } else if (sampling.temperature != 0.0 && sampling.top_k != 1u) {
    largest = bitcast<f32>(logits[first_logit + winner.y]);
    token = draw(lane);
  }
  if (lane == 0u) {
    tokens[step.ring_slot * params.ring_width + row] = token;
    if (ADVANCE) {
      rows[row].x = token;
      rows[row].y += 1u;
      samplers[row].draws = add(sampling.draws, vec2(1u, 0u));
    }
  }
}
