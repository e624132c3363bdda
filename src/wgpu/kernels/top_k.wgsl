// The experts of a token row: the k with the largest logits, in falling order, equal ones by rising id, and their
// probabilities renormalised to sum 1.
//
// E experts, k experts_per_token; router_logits, a binding of the kernel: [rows][E], bits of f32. An expert's rank is
// the number of experts before it, so k distinct ids come out whatever the logits are: a NaN ranks below every number.
// All weights of a row are NaN when a logit is NaN or +infinity, or all are -infinity.
// Constants: WORKGROUP (any; E is best), N_EXPERTS = E, EXPERTS_PER_TOKEN = k (at most E).

const PLUS_INFINITY = 0x7f800000u;
const MINUS_INFINITY = 0xff800000u;
const EXPERT_QUADS = (N_EXPERTS + 3u) / 4u;
const SHARES = max(1u, WORKGROUP / N_EXPERTS);  // lanes that an expert is ranked by
const SPLIT_QUADS = (EXPERT_QUADS + SHARES - 1u) / SHARES;

var<workgroup> keys: array<vec4<u32>, EXPERT_QUADS>;
var<workgroup> chosen_ids: array<u32, EXPERTS_PER_TOKEN>;      // by rank, as all below
var<workgroup> chosen_logits: array<u32, EXPERTS_PER_TOKEN>;   // bits
var<workgroup> exponentials: array<f32, EXPERTS_PER_TOKEN>;
var<workgroup> chosen_weights: array<f32, EXPERTS_PER_TOKEN>;  // the probabilities
var<workgroup> n_unsound: atomic<u32>;
var<workgroup> counts: array<u32, SHARES * N_EXPERTS>;          // of better experts, [share][expert]

// Larger for a larger number; 0 for a NaN.
fn order_key(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) {
    return 0u;
  }
  return select(0x80000000u | size, 0x80000000u - size, (bits >> 31u) != 0u);
}

// Fills chosen_ids for a row and, where `weighs`, chosen_weights. Every thread calls it once, in uniform control flow.
fn choose_experts(row: u32, weighs: bool, lane: u32) {
  if (weighs) {
    if (lane == 0u) {
      atomicStore(&n_unsound, 0u);
    }
    workgroupBarrier();
  }
  for (var quad = lane; quad < EXPERT_QUADS; quad += WORKGROUP) {
    var key = vec4(0u);
    for (var i = 0u; i < 4u; i++) {
      let expert = 4u * quad + i;
      if (expert < N_EXPERTS) {
        let bits = router_logits[row * N_EXPERTS + expert];
        key[i] = order_key(bits);
        if (weighs && (key[i] == 0u || bits == PLUS_INFINITY)) {
          atomicAdd(&n_unsound, 1u);
        }
      }
    }
    keys[quad] = key;
  }
  workgroupBarrier();

  // An expert's rank is the number of those before it, of which each lane counts a share.
  for (var i = lane; i < SHARES * N_EXPERTS; i += WORKGROUP) {
    let expert = i % N_EXPERTS;
    let own = expert / 4u;
    let key = vec4(keys[own][expert % 4u]);
    let first = i / N_EXPERTS * SPLIT_QUADS;
    let last = min(first + SPLIT_QUADS, EXPERT_QUADS);
    var before = vec4<u32>();
    for (var quad = first; quad < last; quad++) {
      // Of equal keys those of lower ids come first.
      let lower = vec4(4u * quad) + vec4(0u, 1u, 2u, 3u) < vec4(expert);
      before += select(vec4(0u), vec4(1u), (keys[quad] > key) | ((keys[quad] == key) & lower));
    }
    counts[i] = before.x + before.y + before.z + before.w;
  }
  workgroupBarrier();
  for (var expert = lane; expert < N_EXPERTS; expert += WORKGROUP) {
    var rank = counts[expert];
    for (var i = 1u; i < SHARES; i++) {
      rank += counts[i * N_EXPERTS + expert];
    }
    if (rank < EXPERTS_PER_TOKEN) {
      chosen_ids[rank] = expert;
      if (weighs) {
        chosen_logits[rank] = router_logits[row * N_EXPERTS + expert];
      }
    }
  }
  workgroupBarrier();
  if (!weighs) {
    return;
  }

  let largest = bitcast<f32>(chosen_logits[0]);
  for (var rank = lane; rank < EXPERTS_PER_TOKEN; rank += WORKGROUP) {
    exponentials[rank] = exp(bitcast<f32>(chosen_logits[rank]) - largest);
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var rank = 0u; rank < EXPERTS_PER_TOKEN; rank++) {
    sum += exponentials[rank];
  }
  // Set by bits: shader compilers may take x - x for 0.
  let unsound = atomicLoad(&n_unsound) > 0u || chosen_logits[0] == MINUS_INFINITY;
  for (var rank = lane; rank < EXPERTS_PER_TOKEN; rank += WORKGROUP) {
    let weight = exponentials[rank] / sum;
    chosen_weights[rank] = bitcast<f32>(select(bitcast<u32>(weight), 0x7fc00000u, unsound));
  }
  workgroupBarrier();
}
