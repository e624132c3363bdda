// The queries of attention.wgsl, made on the spot, and with them the key and value of the row's own position, which the
// workgroup of the last chunk writes: what qk_norm_rope.wgsl does, without a dispatch of its own. For rows of different
// sequences only, as a row sees no other row's key.
//
// qkv [T][Q+2K]: q, k and v behind one another; qk [T][Q+K]: queries and keys, for the trace.
// Files before it: head_rope (LOCAL_HEADS = HEADS + 1), kv_write, with their constants.
@group(0) @binding(4) var<storage, read> qkv: array<f32>;
@group(0) @binding(5) var<storage, read_write> cache: array<vec2<u32>>;
@group(0) @binding(9) var<storage, read> constants: array<u32>;
@group(0) @binding(10) var<storage, read_write> qk: array<f32>;

// Fills scratch with the queries as [dimension][head], zero where there is none.
fn load_queries(row: u32, chunk: u32, position: u32, kv_head: u32, first_head: u32, lane: u32) {
  let own_heads = min(HEADS, HEADS_PER_KV - first_head);
  let q_head = kv_head * HEADS_PER_KV + first_head;
  let row_at = row * (N_HEADS + 2u * N_KV_HEADS) * HEAD_DIM;
  for (var i = lane; i < LOCAL_HEADS * HEAD_DIM; i += WORKGROUP) {
    let local = i / HEAD_DIM;
    let head = select(q_head + min(local, own_heads - 1u), N_HEADS + kv_head, local == HEADS);
    heads[i] = qkv[row_at + head * HEAD_DIM + i % HEAD_DIM];
  }
  rotate_heads(HEADS, position, params.eps, params.rope_scale, lane);
  workgroupBarrier();
  for (var i = lane; i < 4u * QUADS * V; i += WORKGROUP) {
    let d = i / V;
    var q = vec4<f32>();
    for (var h = 0u; h < 4u; h++) {
      let head = 4u * (i % V) + h;
      if (d < HEAD_DIM && head < own_heads) {
        q[h] = heads[head * HEAD_DIM + d] * params.scale;
      }
    }
    scratch[i] = q;
  }
  if (chunk == position / CHUNK) {
    let value_at = row_at + (N_HEADS + N_KV_HEADS + kv_head) * HEAD_DIM;
    write_kv(rows[row].z * params.max_pages, position, kv_head, HEADS, value_at, lane);
    let qk_at = row * (N_HEADS + N_KV_HEADS) * HEAD_DIM;
    for (var i = lane; i < LOCAL_HEADS * HEAD_DIM; i += WORKGROUP) {
      let local = i / HEAD_DIM;
      if (local < own_heads) {
        qk[qk_at + q_head * HEAD_DIM + i] = heads[i];
      } else if (local == HEADS) {
        qk[qk_at + (N_HEADS + kv_head) * HEAD_DIM + i % HEAD_DIM] = heads[i];
      }
    }
  }
  storageBarrier();
}
