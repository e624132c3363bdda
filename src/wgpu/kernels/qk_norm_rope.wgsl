// Head norm and rotary embedding of q and k, then the KV write: one workgroup per head and token row.
//
// T rows, D head_dim, Q n_heads·D, K n_kv_heads·D. qkv [T][qkv_stride]: q, k (and v, when v is bound to the
// same buffer) behind one another; v [T][v_stride] from v_offset on; qk [T][Q+K], f32.
// constants: q_norm [D], k_norm [D] (f32 bits), then for each of the D/2 pairs its frequency in turns per
// position, frequency / 2π, as a binary fraction of 64 bits: word of the first 32, word of the next 32.
// cache: [page][n_kv_heads][2·64·DP] elements of f32 or f16 (two in a word), DP = D rounded up to a multiple
// of 4, zero beyond D: the keys as [DP/4][64][4], so that neighbouring lanes of attention.wgsl read
// neighbouring positions; then the values as [64][DP].
// Files before it: reduce_*.
// Constants: WORKGROUP (a power of 2; D/2 is enough), HEAD_DIM = D (even), N_HEADS, N_KV_HEADS, KV_F16 (bool).
// Grid: (n_heads + n_kv_heads, rows, 1); rows from n_rows on are left alone.
struct Params {
  eps: f32,
  rope_scale: f32,  // multiplies cos and sin (YaRN)
  max_pages: u32,   // of a sequence, in page_tables
  qkv_stride: u32,
  v_stride: u32,
  v_offset: u32,
}
struct Step { n_rows: u32, n_logits: u32, n_chunks: u32, ring_slot: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;  // token, position, sequence, flags
@group(0) @binding(3) var<storage, read> page_tables: array<u32>;  // [sequence][max_pages]
@group(0) @binding(4) var<storage, read> qkv: array<f32>;
@group(0) @binding(5) var<storage, read> v: array<f32>;
@group(0) @binding(6) var<storage, read> constants: array<u32>;
@group(0) @binding(7) var<storage, read_write> qk: array<f32>;
@group(0) @binding(8) var<storage, read_write> cache: array<u32>;

const PAGE = 64u;
const HALF = HEAD_DIM / 2u;
const QUADS = (HEAD_DIM + 3u) / 4u;
const PER_LANE = (HALF + WORKGROUP - 1u) / WORKGROUP;
const HEADS = N_HEADS + N_KV_HEADS;

var<workgroup> head: array<vec4<f32>, QUADS>;

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
  let sin = rest + rest * r2 * (-1.0 / 6.0 + r2 * (1.0 / 120.0 + r2 * (-1.0 / 5040.0 + r2 / 362880.0)));
  let cos = 1.0 + r2 * (-0.5 + r2 * (1.0 / 24.0 + r2 * (-1.0 / 720.0 + r2 / 40320.0)));
  switch quarter & 3u {
    case 0u: { return vec2(cos, sin); }
    case 1u: { return vec2(-sin, cos); }
    case 2u: { return vec2(-cos, -sin); }
    default: { return vec2(sin, -cos); }
  }
}

// Stores four elements of the cache, the quad-th from its start.
fn store_quad(quad: u32, values: vec4<f32>) {
  if (KV_F16) {
    cache[2u * quad] = pack2x16float(values.xy);
    cache[2u * quad + 1u] = pack2x16float(values.zw);
  } else {
    let bits = bitcast<vec4<u32>>(values);
    cache[4u * quad] = bits.x;
    cache[4u * quad + 1u] = bits.y;
    cache[4u * quad + 2u] = bits.z;
    cache[4u * quad + 3u] = bits.w;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  let is_k = group.x >= N_HEADS;
  let in_at = row * params.qkv_stride + group.x * HEAD_DIM;
  let norm_at = select(0u, HEAD_DIM, is_k);
  let position = rows[row].y;

  var first: array<f32, PER_LANE>;
  var second: array<f32, PER_LANE>;
  var squares = 0.0;
  for (var i = 0u; i < PER_LANE; i++) {
    let pair = i * WORKGROUP + lane;
    first[i] = 0.0;
    second[i] = 0.0;
    if (pair < HALF) {
      first[i] = qkv[in_at + pair];
      second[i] = qkv[in_at + pair + HALF];
    }
    squares += first[i] * first[i] + second[i] * second[i];
  }
  let scale = inverseSqrt(workgroup_sum(squares, lane) / f32(HEAD_DIM) + params.eps);
  for (var i = 0u; i < PER_LANE; i++) {
    let pair = i * WORKGROUP + lane;
    if (pair < HALF) {
      let a = first[i] * scale * bitcast<f32>(constants[norm_at + pair]);
      let b = second[i] * scale * bitcast<f32>(constants[norm_at + pair + HALF]);
      let turns_at = 2u * HEAD_DIM + 2u * pair;
      let turn = cos_sin(position, vec2(constants[turns_at], constants[turns_at + 1u])) * params.rope_scale;
      let out_at = (row * HEADS + group.x) * HEAD_DIM + pair;
      let rotated = vec2(a * turn.x - b * turn.y, b * turn.x + a * turn.y);
      qk[out_at] = rotated.x;
      qk[out_at + HALF] = rotated.y;
      if (is_k) {
        head[pair / 4u][pair % 4u] = rotated.x;
        head[(pair + HALF) / 4u][(pair + HALF) % 4u] = rotated.y;
      }
    }
  }
  if (!is_k) {
    return;
  }
  if (HEAD_DIM % 4u != 0u && lane == 0u) {
    head[QUADS - 1u].z = 0.0;
    head[QUADS - 1u].w = 0.0;
  }
  workgroupBarrier();

  let kv_head = group.x - N_HEADS;
  let page = page_tables[rows[row].z * params.max_pages + position / PAGE];
  let slot = position % PAGE;
  let keys = (page * N_KV_HEADS + kv_head) * 2u * PAGE * QUADS;
  let values = keys + PAGE * QUADS;
  let v_at = row * params.v_stride + params.v_offset + kv_head * HEAD_DIM;
  for (var quad = lane; quad < QUADS; quad += WORKGROUP) {
    store_quad(keys + quad * PAGE + slot, head[quad]);
    var value = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
      if (4u * quad + i < HEAD_DIM) {
        value[i] = v[v_at + 4u * quad + i];
      }
    }
    store_quad(values + slot * QUADS + quad, value);
  }
}
