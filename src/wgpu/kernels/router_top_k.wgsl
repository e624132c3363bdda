// The experts of each token row: the k with the largest logits, in falling order, equal ones by rising id, and
// their probabilities renormalised to sum 1. One workgroup per token row.
//
// T rows, E experts, k experts_per_token. logits [T][E] f32, ids [T][k], weights [T][k] f32. An expert's rank is
// the number of experts before it, so k distinct ids come out whatever the logits are: a NaN ranks below every
// number. All weights of a row are NaN when a logit is NaN or +infinity, or all are -infinity.
// Constants: WORKGROUP (any; E is best), N_EXPERTS = E, EXPERTS_PER_TOKEN = k (at most E).
// Grid: (1, T, 1); rows from n_rows on are left alone.
struct Step { n_rows: u32, n_logits: u32, n_chunks: u32, ring_slot: u32 }

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;

const PLUS_INFINITY = 0x7f800000u;
const MINUS_INFINITY = 0xff800000u;
const QUADS = (N_EXPERTS + 3u) / 4u;

var<workgroup> keys: array<vec4<u32>, QUADS>;
var<workgroup> chosen: array<u32, EXPERTS_PER_TOKEN>;  // bits of the logits, by rank
var<workgroup> exponentials: array<f32, EXPERTS_PER_TOKEN>;  // the same
var<workgroup> n_unsound: atomic<u32>;

// Larger for a larger number; 0 for a NaN.
fn order_key(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) {
    return 0u;
  }
  return select(0x80000000u | size, 0x80000000u - size, (bits >> 31u) != 0u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  if (lane == 0u) {
    atomicStore(&n_unsound, 0u);
  }
  workgroupBarrier();
  for (var i = lane; i < 4u * QUADS; i += WORKGROUP) {
    var key = 0u;
    if (i < N_EXPERTS) {
      let bits = logits[row * N_EXPERTS + i];
      key = order_key(bits);
      if (key == 0u || bits == PLUS_INFINITY) {
        atomicAdd(&n_unsound, 1u);
      }
    }
    keys[i / 4u][i % 4u] = key;
  }
  workgroupBarrier();

  for (var expert = lane; expert < N_EXPERTS; expert += WORKGROUP) {
    // Of equal keys those of lower ids come first: below the expert's own quad they count, above it they do not.
    let own = expert / 4u;
    let key = vec4(keys[own][expert % 4u]);
    var before = vec4<u32>();
    for (var quad = 0u; quad < own; quad++) {
      before += select(vec4(0u), vec4(1u), keys[quad] >= key);
    }
    let lower = vec4(0u, 1u, 2u, 3u) < vec4(expert % 4u);
    before += select(vec4(0u), vec4(1u), (keys[own] > key) | ((keys[own] == key) & lower));
    for (var quad = own + 1u; quad < QUADS; quad++) {
      before += select(vec4(0u), vec4(1u), keys[quad] > key);
    }
    let rank = before.x + before.y + before.z + before.w;
    if (rank < EXPERTS_PER_TOKEN) {
      ids[row * EXPERTS_PER_TOKEN + rank] = expert;
      chosen[rank] = logits[row * N_EXPERTS + expert];
    }
  }
  workgroupBarrier();

  let largest = bitcast<f32>(chosen[0]);
  for (var rank = lane; rank < EXPERTS_PER_TOKEN; rank += WORKGROUP) {
    exponentials[rank] = exp(bitcast<f32>(chosen[rank]) - largest);
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var rank = 0u; rank < EXPERTS_PER_TOKEN; rank++) {
    sum += exponentials[rank];
  }
  // Set by bits: shader compilers may take x - x for 0.
  let unsound = atomicLoad(&n_unsound) > 0u || chosen[0] == MINUS_INFINITY;
  for (var rank = lane; rank < EXPERTS_PER_TOKEN; rank += WORKGROUP) {
    let weight = exponentials[rank] / sum;
    weights[row * EXPERTS_PER_TOKEN + rank] = bitcast<f32>(select(bitcast<u32>(weight), 0x7fc00000u, unsound));
  }
}
