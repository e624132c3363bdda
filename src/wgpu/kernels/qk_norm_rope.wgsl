// Head norm and rotary embedding of q and k, then the KV write: one workgroup per head and token row.
//
// T rows, D head_dim, Q n_heads·D, K n_kv_heads·D. qkv [T][Q+2K]: q, k and v behind one another; qk [T][Q+K], f32.
// Files before it: head_rope (LOCAL_HEADS = 1), kv_write, with their constants, flags and bindings.
// Constants: N_HEADS.
// Grid: (n_heads + n_kv_heads, rows, 1); rows from n_rows on are left alone.
struct Params {
  scale: f32,       // of scores: for attention.wgsl
  max_pages: u32,   // of a sequence, in page_tables
  eps: f32,
  rope_scale: f32,  // multiplies cos and sin (YaRN)
}
struct Step { n_rows: u32, n_logits: u32, n_splits: u32, unused: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;  // token, position, slot, flags
@group(0) @binding(3) var<storage, read> page_tables: array<u32>;  // [slot][max_pages]
@group(0) @binding(4) var<storage, read> qkv: array<f32>;
@group(0) @binding(5) var<storage, read> constants: array<u32>;
@group(0) @binding(6) var<storage, read_write> qk: array<f32>;
@group(0) @binding(7) var<storage, read_write> cache: array<vec2<u32>>;

const HEADS = N_HEADS + N_KV_HEADS;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  let in_at = row * (HEADS + N_KV_HEADS) * HEAD_DIM;
  let position = rows[row].y;
  let is_key = group.x >= N_HEADS;
  let kv_head = group.x - N_HEADS;
  for (var d = lane; d < HEAD_DIM; d += WORKGROUP) {
    heads[d] = qkv[in_at + group.x * HEAD_DIM + d];
    if (is_key) {
      own_value[d] = qkv[in_at + (HEADS + kv_head) * HEAD_DIM + d];
    }
  }
  workgroupBarrier();
  sum_squares(lane);
  workgroupBarrier();
  let out_at = (row * HEADS + group.x) * HEAD_DIM;
  for (var pair = lane; pair < HALF; pair += WORKGROUP) {
    let turned = rotated(0u, pair, is_key, rotation_of(constants_of(pair), position, params.rope_scale), params.eps);
    qk[out_at + pair] = turned.x;
    qk[out_at + pair + HALF] = turned.y;
    if (is_key) {
      own_key[pair] = turned.x;
      own_key[pair + HALF] = turned.y;
    }
  }
  if (is_key) {
    workgroupBarrier();
    write_kv(page_tables[rows[row].z * params.max_pages + position / 64u], position, kv_head, lane);
  }
}
