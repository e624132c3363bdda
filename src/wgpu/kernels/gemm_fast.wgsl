// A tile's operands as 8-bit integers with their scales, and the products of a thread's rows with four tokens.
// Comes after numerics_fast.wgsl. gemm_tile.wgsl names the constants.
// Workgroup memory: ((32 + 4 * (SCALES + MINIMA)) * TILE_ROWS + 40 * TERMS * TILE) * STEP bytes.

const CHUNKS: u32 = 1u;
const X_PIECES: u32 = TERMS;

var<workgroup> tile_w: array<vec4<u32>, 2u * STEP * TILE_ROWS>;  // [unit][half][row]
var<workgroup> tile_w_scales: array<f32, (SCALES + MINIMA) * STEP * TILE_ROWS>;  // [unit][scales, then -min][row]
var<workgroup> tile_x: array<vec4<u32>, 2u * STEP * TERMS * TILE>;  // [unit][term][half][token]
var<workgroup> tile_x_scales: array<vec2<f32>, STEP * TERMS * TILE>;  // [unit][term][token]: scale, sum

alias Piece = Activations;

fn load_piece(row: u32, unit: u32, piece: u32) -> Piece {
  return load_activations(row * TERMS + piece, unit);
}

fn put_piece(unit: u32, token: u32, piece: u32, value: Piece) {
  let at = unit * TERMS + piece;
  tile_x[2u * at * TILE + token] = value.a;
  tile_x[(2u * at + 1u) * TILE + token] = value.b;
  tile_x_scales[at * TILE + token] = vec2(value.scale, value.sum);
}

fn put_weights(unit: u32, row: u32, w: Loaded) {
  tile_w[2u * unit * TILE_ROWS + row] = w.a;
  tile_w[(2u * unit + 1u) * TILE_ROWS + row] = w.b;
  let at = (SCALES + MINIMA) * unit * TILE_ROWS + row;
  tile_w_scales[at] = w.scale.x;
  if (SCALES == 2u) {
    tile_w_scales[at + TILE_ROWS] = w.scale.y;
  }
  if (MINIMA == 1u) {
    tile_w_scales[at + SCALES * TILE_ROWS] = -w.min.x;
  }
}

struct Weight {
  a: vec4<u32>,
  b: vec4<u32>,
  scale: vec2<f32>,
  offset: f32,
}

fn take_weight(unit: u32, row: u32) -> Weight {
  let at = (SCALES + MINIMA) * unit * TILE_ROWS + row;
  var w = Weight(tile_w[2u * unit * TILE_ROWS + row], tile_w[(2u * unit + 1u) * TILE_ROWS + row],
                 vec2(tile_w_scales[at]), 0.0);
  if (SCALES == 2u) {
    w.scale.y = tile_w_scales[at + TILE_ROWS];
  }
  if (MINIMA == 1u) {
    w.offset = tile_w_scales[at + SCALES * TILE_ROWS];
  }
  return w;
}

struct Four {
  a0: vec4<u32>,
  a1: vec4<u32>,
  a2: vec4<u32>,
  a3: vec4<u32>,
  b0: vec4<u32>,
  b1: vec4<u32>,
  b2: vec4<u32>,
  b3: vec4<u32>,
  scale: vec4<f32>,
  sum: vec4<f32>,
}

// Tokens `token` .. `token` + 3 of the tile; `unit` counts terms.
fn take_four(unit: u32, token: u32) -> Four {
  let a = 2u * unit * TILE + token;
  let b = a + TILE;
  let s0 = tile_x_scales[unit * TILE + token];
  let s1 = tile_x_scales[unit * TILE + token + 1u];
  let s2 = tile_x_scales[unit * TILE + token + 2u];
  let s3 = tile_x_scales[unit * TILE + token + 3u];
  return Four(tile_x[a], tile_x[a + 1u], tile_x[a + 2u], tile_x[a + 3u], tile_x[b], tile_x[b + 1u], tile_x[b + 2u],
              tile_x[b + 3u], vec4(s0.x, s1.x, s2.x, s3.x), vec4(s0.y, s1.y, s2.y, s3.y));
}

fn dot16(q: vec4<u32>, v: vec4<u32>, sum: i32) -> i32 {
  return sum + dot4I8Packed(q.x, v.x) + dot4I8Packed(q.y, v.y) + dot4I8Packed(q.z, v.z) + dot4I8Packed(q.w, v.w);
}

// Sums start at the bits of 1.5 · 2^23, which turns an integer below 2^22 into the mantissa of a float: cheaper than
// a conversion, and as exact. A unit's sum is at most 32 · 127 · 128.
const FLOAT_BITS: i32 = 0x4B400000;

fn to_float(sums: vec4<i32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(sums) - vec4(12582912.0);
}

fn half_sums(q: vec4<u32>, v0: vec4<u32>, v1: vec4<u32>, v2: vec4<u32>, v3: vec4<u32>, sums: vec4<i32>) -> vec4<i32> {
  return vec4(dot16(q, v0, sums.x), dot16(q, v1, sums.y), dot16(q, v2, sums.z), dot16(q, v3, sums.w));
}

// As add_unit() of numerics_fast.wgsl, operation by operation.
fn multiply_four(w: Weight, v: Four, scales: u32, sums: vec4<f32>) -> vec4<f32> {
  let zero = vec4(FLOAT_BITS);
  var result = sums;
  let first = half_sums(w.a, v.a0, v.a1, v.a2, v.a3, zero);
  if (SCALES == 2u && scales == 2u) {
    let second = half_sums(w.b, v.b0, v.b1, v.b2, v.b3, zero);
    let products = fma(vec4(w.scale.x), to_float(first), w.scale.y * to_float(second));
    result = fma(products, v.scale, result);
  } else {
    let whole = half_sums(w.b, v.b0, v.b1, v.b2, v.b3, first);
    result = fma(to_float(whole), w.scale.x * v.scale, result);
  }
  if (MINIMA == 1u) {
    result = fma(vec4(w.offset), v.sum, result);
  }
  return result;
}
