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
// Where top-k keeps few, which is usual, most tokens need no look: each of the k parts with the largest logits has a
// token that is at least as good as the k-th of these, so no worse token is among the top k. What is left is few, and
// each lane compares its own with all of them. Whether that or the passes ran cannot be told from the result, as all
// sums are exact.
//
// L rows, V vocabulary, P parts of argmax.wgsl. logits [L][V] f32, best [L][P] (key, id). The slot's last choice
// becomes the token; NO_TOKEN where a logit is NaN or +infinity, or none is finite.
// Files before it: choice, accept. Constants: WORKGROUP (at most 1024), PARTS = P (at most 1024) and those of choice.
// Grid: (1, L, 1); rows from n_logits on, and those that choose no token, are left alone.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> choices: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> rules: array<Rules>;
@group(0) @binding(3) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> last_choices: array<u32>;
@group(0) @binding(5) var<storage, read_write> tallies: array<u32>;
@group(0) @binding(6) var<storage, read_write> rings: array<u32>;
@group(0) @binding(7) var<storage, read> logits: array<u32>;

const LENGTH = (VOCAB + WORKGROUP - 1u) / WORKGROUP;  // consecutive ids of a lane
const PART_LENGTH = (VOCAB + PARTS - 1u) / PARTS;
const BINS = 1024u;
const FEW = min(WORKGROUP, BINS);
const SEGMENT = 32u;

// What is measured, and by which key tokens are ordered.
const COUNT = 0u;   // tokens, by falling logit
const WEIGHT = 1u;  // weights of what top-k left, by falling weight
const DRAW = 2u;    // weights of what all filters left

var<workgroup> low: array<atomic<u32>, BINS>;
var<workgroup> high: array<atomic<u32>, BINS>;
var<workgroup> segments: array<vec2<u32>, BINS / SEGMENT>;
var<workgroup> found: array<u32, 4>;
var<workgroup> ranked: array<u32, PARTS>;  // parts by falling logit, then the measures of few tokens
var<workgroup> n_few: atomic<u32>;

// Set alike by every invocation.
var<private> first_logit: u32;  // of the row
var<private> largest: f32;
var<private> best_key: u32;
var<private> last_best: vec2<u32>;  // (key, id) of the top_k-th part
var<private> sampling: Rules;
var<private> draw_number: vec2<u32>;
// Tokens with a smaller key stay, and those of this key up to an id.
var<private> count_cut: vec2<u32>;
var<private> weight_cut: vec2<u32>;

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

// What the top-p set's weights sum to at least, of the sum of all.
fn share_of(sum: vec2<u32>, share: f32) -> vec2<u32> {
  let part = part_of(sum, u32(share * 4294967296.0));
  let goal = add(part.xy, vec2(part.z, 0u));
  return select(goal, vec2(1u, 0u), goal.x == 0u && goal.y == 0u);
}

// What the running sum of weights reaches at the token that is drawn.
fn goal_of_draw(sum: vec2<u32>) -> vec2<u32> {
  return add(part_of(sum, random_word()).xy, vec2(1u, 0u));
}

// Where the smallest set of best tokens ends that are top_k (COUNT), or weigh top_p of the whole (WEIGHT).
fn find_cut(kind: u32, lane: u32) -> vec2<u32> {
  var goal = vec2(sampling.top_k, 0u);
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
      goal = share_of(sum, sampling.top_p);
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

// Ranks the parts and returns the best (key, id). Parts are in the order of ids: of equal ones the earlier is better.
fn rank_parts(row: u32, lane: u32) -> vec2<u32> {
  for (var i = lane; i < PARTS; i += WORKGROUP) {
    let one = best[row * PARTS + i];
    atomicStore(&low[i], one.x);
    atomicStore(&high[i], one.y);
  }
  if (lane == 0u) {
    atomicStore(&n_few, 0u);
  }
  workgroupBarrier();
  for (var i = lane; i < PARTS; i += WORKGROUP) {
    let key = atomicLoad(&low[i]);
    var rank = 0u;
    for (var other = 0u; other < PARTS; other++) {
      let candidate = atomicLoad(&low[other]);
      rank += select(0u, 1u, candidate > key || (candidate == key && other < i));
    }
    ranked[rank] = i;
    if (rank == 0u) {
      found[0] = key;
      found[1] = atomicLoad(&high[i]);
    }
    if (rank + 1u == sampling.top_k) {
      found[2] = key;
      found[3] = atomicLoad(&high[i]);
    }
  }
  workgroupBarrier();
  let winner = vec2(found[0], found[1]);
  last_best = vec2(found[2], found[3]);
  workgroupBarrier();
  return winner;
}

// The number of tokens that can be among the top k, at most PARTS of them; the first FEW are put into low (keys) and
// high (ids).
fn gather_few(lane: u32) -> u32 {
  for (var i = lane; i < sampling.top_k * PART_LENGTH; i += WORKGROUP) {
    let id = ranked[i / PART_LENGTH] * PART_LENGTH + i % PART_LENGTH;
    if (id < VOCAB) {
      let key = order_key(logits[first_logit + id]);
      if (key > last_best.x || (key == last_best.x && id <= last_best.y)) {
        let place = atomicAdd(&n_few, 1u);
        if (place < FEW) {
          atomicStore(&low[place], key);
          atomicStore(&high[place], id);
        }
      }
    }
  }
  workgroupBarrier();
  return atomicLoad(&n_few);
}

// draw() for what gather_few() left, `n` tokens, of which each lane has one.
fn draw_of_few(n: u32, lane: u32) -> u32 {
  var rank = n;
  var id = 0u;
  if (lane < n) {
    let key = atomicLoad(&low[lane]);
    id = atomicLoad(&high[lane]);
    rank = 0u;
    for (var i = 0u; i < n; i++) {
      let other = atomicLoad(&low[i]);
      rank += select(0u, 1u, other > key || (other == key && atomicLoad(&high[i]) < id));
    }
  }
  let is_kept = rank < sampling.top_k;
  workgroupBarrier();
  let key = key_of(WEIGHT, id);
  var own = measure(WEIGHT, id);
  if (is_kept) {
    atomicStore(&low[rank], key);
    atomicStore(&high[rank], id);
    ranked[rank] = own;
  }
  workgroupBarrier();
  if (sampling.top_p < 1.0) {
    var sum = vec2<u32>();
    var upto = vec2<u32>();  // of what is no lighter
    for (var i = 0u; i < sampling.top_k && is_kept; i++) {
      let one = vec2(ranked[i], 0u);
      sum = add(sum, one);
      let other = atomicLoad(&low[i]);
      if (other < key || (other == key && atomicLoad(&high[i]) <= id)) {
        upto = add(upto, one);
      }
    }
    let goal = share_of(sum, sampling.top_p);
    if (is_kept && !less(upto, goal) && less(subtract(upto, vec2(own, 0u)), goal)) {
      found[0] = key;
      found[1] = id;
    }
    workgroupBarrier();
    weight_cut = vec2(found[0], found[1]);
  }
  own = measure(DRAW, id);
  if (is_kept) {
    ranked[rank] = own;
  }
  workgroupBarrier();
  var sum = vec2<u32>();
  var upto = vec2<u32>();  // of no later id
  for (var i = 0u; i < sampling.top_k && is_kept; i++) {
    let one = vec2(ranked[i], 0u);
    sum = add(sum, one);
    if (atomicLoad(&high[i]) <= id) {
      upto = add(upto, one);
    }
  }
  let goal = goal_of_draw(sum);
  if (is_kept && !less(upto, goal) && less(subtract(upto, vec2(own, 0u)), goal)) {
    found[2] = id;
  }
  workgroupBarrier();
  return found[2];
}

// Called by every invocation.
fn draw(lane: u32) -> u32 {
  count_cut = vec2(0xffffffffu, 0xffffffffu);
  weight_cut = count_cut;
  if (sampling.top_k > 0u && sampling.top_k <= PARTS) {
    let n = gather_few(lane);
    if (n <= FEW) {
      return draw_of_few(n, lane);
    }
    workgroupBarrier();
  }
  if (sampling.top_k > 0u && sampling.top_k < VOCAB) {
    count_cut = find_cut(COUNT, lane);
  }
  if (sampling.top_p < 1.0) {
    weight_cut = find_cut(WEIGHT, lane);
  }
  let goal = goal_of_draw(sum_by_lane(DRAW, 0u, lane));
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
  sampling = rules[choice.slot];
  draw_number = choice.draw;
  first_logit = row * VOCAB;
  let winner = rank_parts(row, lane);
  best_key = winner.x;
  var token = winner.y;
  if (!(winner.x > KEY_MINUS_INFINITY && winner.x < KEY_PLUS_INFINITY)) {
    token = NO_TOKEN;
  } else if (sampling.temperature != 0.0 && sampling.top_k != 1u) {
    largest = bitcast<f32>(logits[first_logit + winner.y]);
    token = draw(lane);
  }
  if (lane == 0u) {
    accept(choice.slot, sampling, token);
  }
}
