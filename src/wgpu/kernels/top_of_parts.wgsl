// Of each part of a row the tokens that can be among the row's top k: the k with the largest logits, the lower ids of
// equal ones, in the order of their ids. sample.wgsl chooses among them as it would among all.
//
// L rows, V vocabulary, P parts of a row, M the largest k. logits [L][V] f32; candidates [L][P·M] (id, logit), of which
// the first P·k are written: where a part has fewer than k tokens, the rest are no tokens with logits of -infinity.
// Files before it: choice. Constants: PARTS = P, MOST_K = M and those of choice.
// Grid: (P, L, 1); rows from n_logits on, and those that choose no token, are left alone.
//
// The k-th largest key is found digit by digit, by a histogram of the keys that begin like it.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> choices: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> rules: array<Rules>;
@group(0) @binding(3) var<storage, read> logits: array<u32>;
@group(0) @binding(4) var<storage, read_write> candidates: array<vec2<u32>>;

const WORKGROUP = 256u;
const BINS = 256u;
const SEGMENT = 16u;
const LENGTH = (VOCAB + PARTS - 1u) / PARTS;
const EACH = (LENGTH + WORKGROUP - 1u) / WORKGROUP;  // consecutive ids of a lane

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> segments: array<u32, BINS / SEGMENT>;
var<workgroup> found: array<u32, 2>;
var<workgroup> counts: array<u32, WORKGROUP>;

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
  let top_k = min(rules[choice.slot].top_k, MOST_K);
  let part_end = min((group.x + 1u) * LENGTH, VOCAB);
  let begin = min(group.x * LENGTH + lane * EACH, part_end);
  let end = min(begin + EACH, part_end);
  let first_logit = row * VOCAB;

  // `key` is the k-th largest, and `wanted` of those that equal it are among the k.
  var key = 0u;
  var wanted = top_k;
  for (var digit = 0u; digit < 4u; digit++) {
    let shift = 24u - 8u * digit;
    atomicStore(&bins[lane], 0u);
    workgroupBarrier();
    for (var i = begin; i < end; i++) {
      let candidate = order_key(logits[first_logit + i]);
      // Keys that begin as the one that is looked for; all do before the first digit.
      if (digit == 0u || (candidate >> (shift + 8u)) == (key >> (shift + 8u))) {
        atomicAdd(&bins[(candidate >> shift) & 255u], 1u);
      }
    }
    workgroupBarrier();
    if (lane < BINS / SEGMENT) {
      var sum = 0u;
      for (var i = 0u; i < SEGMENT; i++) {
        sum += atomicLoad(&bins[lane * SEGMENT + i]);
      }
      segments[lane] = sum;
    }
    workgroupBarrier();
    if (lane == 0u) {
      var above = 0u;
      var segment = BINS / SEGMENT - 1u;
      for (; segment > 0u && above + segments[segment] < wanted; segment--) {
        above += segments[segment];
      }
      var i = segment * SEGMENT + SEGMENT - 1u;
      for (; i > segment * SEGMENT; i--) {
        let here = atomicLoad(&bins[i]);
        if (above + here >= wanted) {
          break;
        }
        above += here;
      }
      found[0] = i;
      found[1] = above;
    }
    workgroupBarrier();
    key |= found[0] << shift;
    wanted -= min(found[1], wanted);
    workgroupBarrier();
  }

  // How many larger (low half) and equal keys (high half) stand before each lane's.
  var own = 0u;
  for (var i = begin; i < end; i++) {
    let candidate = order_key(logits[first_logit + i]);
    own += select(0u, 1u, candidate > key) + select(0u, 0x10000u, candidate == key);
  }
  counts[lane] = own;
  workgroupBarrier();
  for (var step_size = 1u; step_size < WORKGROUP; step_size *= 2u) {
    var earlier = 0u;
    if (lane >= step_size) {
      earlier = counts[lane - step_size];
    }
    workgroupBarrier();
    counts[lane] += earlier;
    workgroupBarrier();
  }
  let all = counts[WORKGROUP - 1u];
  let before = counts[lane] - own;

  let first = (row * PARTS * MOST_K) + group.x * top_k;
  var equal = before >> 16u;
  var next = (before & 0xffffu) + min(equal, wanted);
  for (var i = begin; i < end; i++) {
    let bits = logits[first_logit + i];
    let candidate = order_key(bits);
    var is_kept = candidate > key;
    if (candidate == key) {
      is_kept = equal < wanted;
      equal++;
    }
    if (is_kept && next < top_k) {
      candidates[first + next] = vec2(i, bits);
      next++;
    }
  }
  let kept = (all & 0xffffu) + min(all >> 16u, wanted);
  for (var i = kept + lane; i < top_k; i += WORKGROUP) {
    candidates[first + i] = vec2(NO_TOKEN, 0xff800000u);
  }
}
