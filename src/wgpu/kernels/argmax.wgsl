// The largest logit of each part of a row and its id, the lowest of equal ones; argmax_merge.wgsl or sample.wgsl
// goes on from there.
//
// L rows, V vocabulary, P parts of a row. logits [L][V] f32, best [L][P] (key, id): the key is larger for a larger
// logit, and all bits set for a NaN, which wins.
// Files before it: choice. Constants: WORKGROUP (a power of 2), PARTS = P and those of choice.
// Grid: (P, L, 1); rows from n_logits on are left alone.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read_write> best: array<vec2<u32>>;

const LENGTH = (VOCAB + PARTS - 1u) / PARTS;

var<workgroup> keys: array<u32, WORKGROUP>;
var<workgroup> ids: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_logits) {
    return;
  }
  var key = 0u;
  var id = VOCAB;
  let end = min((group.x + 1u) * LENGTH, VOCAB);
  for (var i = group.x * LENGTH + lane; i < end; i += WORKGROUP) {
    let candidate = order_key(logits[row * VOCAB + i]);
    if (candidate > key) {
      key = candidate;
      id = i;
    }
  }
  keys[lane] = key;
  ids[lane] = id;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      let key = keys[lane + half];
      if (key > keys[lane] || (key == keys[lane] && ids[lane + half] < ids[lane])) {
        keys[lane] = key;
        ids[lane] = ids[lane + half];
      }
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    best[row * PARTS + group.x] = vec2(keys[0], ids[0]);
  }
}
