// Head norm and rotary embedding of heads that lie in workgroup memory. What a compiler could fuse is fused here, so
// that every kernel gives the same bits.
//
// constants, a binding of the kernel: q_norm [D], k_norm [D] (f32 bits), then for each of the D/2 pairs its frequency
// in turns per position, frequency / 2π, as a binary fraction of 64 bits: word of the first 32, word of the next 32.
// Constants: WORKGROUP, HEAD_DIM = D (even), LOCAL_HEADS.
// Workgroup memory, in bytes: 4 · LOCAL_HEADS · (D + 16).

const HALF = HEAD_DIM / 2u;

var<workgroup> heads: array<f32, LOCAL_HEADS * HEAD_DIM>;
var<workgroup> squares: array<f32, LOCAL_HEADS * 16u>;  // 16 sums a head

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

// What turns dimensions `pair` and `pair + HALF` of every head.
struct Rotation {
  q_norm: vec2<f32>,
  k_norm: vec2<f32>,
  turn: vec2<f32>,  // cos, sin
}

// The constants of a pair: they are loaded before anything else is waited for.
struct PairConstants {
  q_norm: vec2<u32>,
  k_norm: vec2<u32>,
  turns: vec2<u32>,
}

fn constants_of(pair: u32) -> PairConstants {
  let k_at = HEAD_DIM + pair;
  let turns_at = 2u * HEAD_DIM + 2u * pair;
  return PairConstants(vec2(constants[pair], constants[pair + HALF]), vec2(constants[k_at], constants[k_at + HALF]),
                       vec2(constants[turns_at], constants[turns_at + 1u]));
}

fn rotation_of(pair: PairConstants, position: u32, rope_scale: f32) -> Rotation {
  return Rotation(bitcast<vec2<f32>>(pair.q_norm), bitcast<vec2<f32>>(pair.k_norm),
                  cos_sin(position, pair.turns) * rope_scale);
}

// Every thread calls it, in uniform control flow, when `heads` is filled; the sums are there behind the next barrier.
fn sum_squares(lane: u32) {
  for (var i = lane; i < LOCAL_HEADS * 16u; i += WORKGROUP) {
    var sum = 0.0;
    for (var d = i % 16u; d < HEAD_DIM; d += 16u) {
      let value = heads[i / 16u * HEAD_DIM + d];
      sum = fma(value, value, sum);
    }
    squares[i] = sum;
  }
}

// Dimensions `pair` and `pair + HALF` of a head, normed and turned.
fn rotated(head: u32, pair: u32, is_key: bool, rotation: Rotation, eps: f32) -> vec2<f32> {
  var sums = vec4(0.0);
  for (var i = 16u * head; i < 16u * head + 16u; i += 4u) {
    sums += vec4(squares[i], squares[i + 1u], squares[i + 2u], squares[i + 3u]);
  }
  let scale = inverseSqrt(((sums.x + sums.y) + (sums.z + sums.w)) / f32(HEAD_DIM) + eps);
  let norm = select(rotation.q_norm, rotation.k_norm, is_key);
  let at = head * HEAD_DIM + pair;
  let a = heads[at] * scale * norm.x;
  let b = heads[at + HALF] * scale * norm.y;
  return vec2(fma(a, rotation.turn.x, -(b * rotation.turn.y)), fma(b, rotation.turn.x, a * rotation.turn.y));
}
