// The largest logit's id of each row, from the parts of argmax.wgsl: the next token of greedy decoding.
//
// L rows, P parts of a row. best [L][P] (key, id). The slot's last choice becomes the id; NO_TOKEN where a logit is
// NaN or +infinity, or none is finite.
// Files before it: choice, accept. Constants: PARTS = P and those of choice.
// Grid: (ceil(L / 64), 1, 1); rows from n_logits on, and those that choose no token, are left alone.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> choices: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> rules: array<Rules>;
@group(0) @binding(3) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> last_choices: array<u32>;
@group(0) @binding(5) var<storage, read_write> tallies: array<u32>;
@group(0) @binding(6) var<storage, read_write> rings: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
  let row = thread.x;
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
  let sound = winner.x > KEY_MINUS_INFINITY && winner.x < KEY_PLUS_INFINITY;
  accept(choice.slot, rules[choice.slot], select(NO_TOKEN, winner.y, sound));
}
