// Head norm and rotary embedding of heads that lie in workgroup memory. What a compiler could fuse is fused here, so
// that every kernel gives the same bits.
//
// constants, a binding of the kernel: q_norm [D], k_norm [D] (f32 bits), then for each of the D/2 pairs its frequency
// in turns per position, frequency / 2π, as a binary fraction of 64 bits: word of the first 32, word of the next 32.
// Constants: WORKGROUP, HEAD_DIM = D (even), LOCAL_HEADS.
// Workgroup memory, in bytes: 4 · LOCAL_HEADS · (D + 16).

const HALF = HEAD_DIM / 2u;
const SQUARE_PARTS = 16u;

var<workgroup> heads: array<f32, LOCAL_HEADS * HEAD_DIM>;  // as they come, then rotated
var<workgroup> square_sums: array<f32, LOCAL_HEADS * SQUARE_PARTS>;

fn mul_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let mid = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let mid2 = (a & 0xffffu) * (b >> 16u) + (mid & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (mid >> 16u) + (mid2 >> 16u);
}

// cos and sin of 2π · position · turns. The turns are multiplied as integers modulo 1, exact to 2^-46 turns
// at position 262143, and the rest of an angle lies in ±π/4, where these polynomials are within 1e-7: f32
// angles lose 1e-2 there, and drivers promise as little of sin().
fn cos_sin(position: u32, turns: vec2<u32>) -> vec2<f32> {
  let angle = position * turns.x + mul_high(position, turns.y);
  let quarter = (angle + 0x20000000u) >> 30u;
  let rest = f32(bitcast<i32>(angle - (quarter << 30u))) * (6.283185307179586 / 4294967296.0);
  let r2 = rest * rest;
  let sin_part = fma(r2, fma(r2, fma(r2, 1.0 / 362880.0, -1.0 / 5040.0), 1.0 / 120.0), -1.0 / 6.0);
  let sin = fma(rest * r2, sin_part, rest);
  let cos = fma(r2, fma(r2, fma(r2, fma(r2, 1.0 / 40320.0, -1.0 / 720.0), 1.0 / 24.0), -0.5), 1.0);
  switch quarter & 3u {
    case 0u: { return vec2(cos, sin); }
    case 1u: { return vec2(-sin, cos); }
    case 2u: { return vec2(-cos, -sin); }
    default: { return vec2(sin, -cos); }
  }
}

// Norms and rotates `heads`: queries, and keys from the first_key-th on. Every thread calls it, in uniform control
// flow, and sees the result behind its next barrier.
fn rotate_heads(first_key: u32, position: u32, eps: f32, rope_scale: f32, lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < LOCAL_HEADS * SQUARE_PARTS; i += WORKGROUP) {
    var sum = 0.0;
    for (var d = i % SQUARE_PARTS; d < HEAD_DIM; d += SQUARE_PARTS) {
      let value = heads[i / SQUARE_PARTS * HEAD_DIM + d];
      sum = fma(value, value, sum);
    }
    square_sums[i] = sum;
  }
  workgroupBarrier();
  for (var i = lane; i < LOCAL_HEADS * HALF; i += WORKGROUP) {
    let head = i / HALF;
    let pair = i % HALF;
    let is_k = head >= first_key;
    var squares = 0.0;
    for (var part = 0u; part < SQUARE_PARTS; part++) {
      squares += square_sums[head * SQUARE_PARTS + part];
    }
    let scale = inverseSqrt(squares / f32(HEAD_DIM) + eps);
    let norm_at = select(0u, HEAD_DIM, is_k) + pair;
    let at = head * HEAD_DIM + pair;
    let a = heads[at] * scale * bitcast<f32>(constants[norm_at]);
    let b = heads[at + HALF] * scale * bitcast<f32>(constants[norm_at + HALF]);
    let turns_at = 2u * HEAD_DIM + 2u * pair;
    let turn = cos_sin(position, vec2(constants[turns_at], constants[turns_at + 1u])) * rope_scale;
    heads[at] = fma(a, turn.x, -(b * turn.y));
    heads[at + HALF] = fma(b, turn.x, a * turn.y);
  }
}
