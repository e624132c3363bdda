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

// A lane has one pair of dimensions, and every HEAD_LANES-th head.
const PAIR_LANES = min(HALF, WORKGROUP);
const HEAD_LANES = WORKGROUP / PAIR_LANES;

// Fills scratch with the queries as [dimension][head], zero where there is none.
fn load_queries(row: u32, chunk: u32, position: u32, kv_head: u32, first_head: u32, lane: u32) {
  let own_heads = min(HEADS, HEADS_PER_KV - first_head);
  let q_head = kv_head * HEADS_PER_KV + first_head;
  let row_at = row * (N_HEADS + 2u * N_KV_HEADS) * HEAD_DIM;
  let qk_at = row * (N_HEADS + N_KV_HEADS) * HEAD_DIM;
  let writes = chunk == position / CHUNK;
  let page = page_tables[rows[row].z * params.max_pages + position / PAGE];
  let first_pair = constants_of(lane % PAIR_LANES);
  for (var i = lane; i < LOCAL_HEADS * HEAD_DIM; i += WORKGROUP) {
    let local = i / HEAD_DIM;
    let head = select(q_head + min(local, own_heads - 1u), N_HEADS + kv_head, local == HEADS);
    heads[i] = qkv[row_at + head * HEAD_DIM + i % HEAD_DIM];
  }
  for (var d = lane; d < HEAD_DIM; d += WORKGROUP) {
    own_value[d] = qkv[row_at + (N_HEADS + N_KV_HEADS + kv_head) * HEAD_DIM + d];
  }
  var rotation = rotation_of(first_pair, position, params.rope_scale);
  workgroupBarrier();
  sum_squares(lane);
  workgroupBarrier();

  for (var pair = lane % PAIR_LANES; pair < HALF; pair += PAIR_LANES) {
    if (pair >= PAIR_LANES) {
      rotation = rotation_of(constants_of(pair), position, params.rope_scale);
    }
    let first = select(LOCAL_HEADS, lane / PAIR_LANES, lane < PAIR_LANES * HEAD_LANES);
    for (var head = first; head < LOCAL_HEADS; head += HEAD_LANES) {
      let is_key = head == HEADS;
      let turned = rotated(head, pair, is_key, rotation, params.eps);
      let global_head = select(q_head + head, N_HEADS + kv_head, is_key);
      if (is_key) {
        own_key[pair] = turned.x;
        own_key[pair + HALF] = turned.y;
      } else {
        let query = select(vec2(0.0), turned * params.scale, head < own_heads);
        scratch[pair * V + head / 4u][head % 4u] = query.x;
        scratch[(pair + HALF) * V + head / 4u][head % 4u] = query.y;
      }
      if (writes && (is_key || head < own_heads)) {
        qk[qk_at + global_head * HEAD_DIM + pair] = turned.x;
        qk[qk_at + global_head * HEAD_DIM + pair + HALF] = turned.y;
      }
    }
  }
  for (var i = HEAD_DIM * V + lane; i < 4u * QUADS * V; i += WORKGROUP) {
    scratch[i] = vec4(0.0);
  }
  if (writes) {
    workgroupBarrier();
    write_kv(page, position, kv_head, lane);
  }
  storageBarrier();
}
