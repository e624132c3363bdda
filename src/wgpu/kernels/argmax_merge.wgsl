// The largest logit's id of each row, from the parts of argmax.wgsl: the next token of greedy decoding.
//
// L rows, P parts of a row. best [L][P] (key, id). The slot's last choice becomes the id; NO_TOKEN where a logit is
// NaN or +infinity, or none is finite.
// Files before it: choice, accept. Constants: PARTS = P and those of choice.
// Grid: (1, L, 1); rows from n_logits on, and those that choose no token, are left alone.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> choices: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> rules: array<Rules>;
@group(0) @binding(3) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> last_choices: array<u32>;
@group(0) @binding(5) var<storage, read_write> tallies: array<u32>;
@group(0) @binding(6) var<storage, read_write> rings: array<u32>;

const WORKGROUP = 64u;

var<workgroup> keys: array<u32, WORKGROUP>;
var<workgroup> ids: array<u32, WORKGROUP>;

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
  var winner = vec2(0u, VOCAB);
  for (var i = lane; i < PARTS; i += WORKGROUP) {
    let candidate = best[row * PARTS + i];
    if (candidate.x > winner.x) {
      winner = candidate;
    }
  }
  keys[lane] = winner.x;
  ids[lane] = winner.y;
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
    let sound = keys[0] > KEY_MINUS_INFINITY && keys[0] < KEY_PLUS_INFINITY;
    accept(choice.slot, rules[choice.slot], select(NO_TOKEN, ids[0], sound));
  }
}
