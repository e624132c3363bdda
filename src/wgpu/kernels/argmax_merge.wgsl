// The largest logit's id of each row, from the parts of argmax.wgsl: the next token of greedy decoding.
//
// L rows, P parts of a row. best [L][P] (key, id). tokens [slots][ring_width]: the id goes to entry (ring_slot, row);
// 0xffffffff where a logit is NaN or +infinity, or none is finite. With ADVANCE (every row of the batch wants
// logits), rows[row] becomes the next step's: that token, one position further.
// Constants: PARTS = P, ADVANCE (bool).
// Grid: (ceil(L / 64), 1, 1); rows from n_logits on are left alone.
struct Params { ring_width: u32 }
struct Step { n_rows: u32, n_logits: u32, n_parts: u32, ring_slot: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec4<u32>>;  // token, position, sequence, flags

const KEY_MINUS_INFINITY = 0x00800000u;
const KEY_PLUS_INFINITY = 0xff800000u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
  let row = thread.x;
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
  let sound = winner.x > KEY_MINUS_INFINITY && winner.x < KEY_PLUS_INFINITY;
  let token = select(0xffffffffu, winner.y, sound);
  tokens[step.ring_slot * params.ring_width + row] = token;
  if (ADVANCE) {
    rows[row].x = token;
    rows[row].y += 1u;
  }
}
