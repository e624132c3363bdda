// The queries of attention.wgsl, made on the spot, and with them the key and value of the row's own position, which the
// workgroups of the last chunk write (one, or several the same): what qk_norm_rope.wgsl does, without a dispatch of its
// own. For rows of different sequences only, as a row sees no other row's key, and for CHUNKS_EACH = 1.
//
// qkv [T][Q+2K]: q, k and v behind one another; qk [T][Q+K]: queries and keys, for the trace.
// Files before it: head_rope (LOCAL_HEADS = HEADS + 1), kv_write, with their constants.
@group(0) @binding(4) var<storage, read> qkv: array<f32>;
@group(0) @binding(5) var<storage, read_write> cache: array<vec2<u32>>;
@group(0) @binding(9) var<storage, read> constants: array<u32>;
@group(0) @binding(10) var<storage, read_write> qk: array<f32>;

// A lane has one pair of dimensions of four query heads, or of the key.
const PAIR_LANES = min(HALF, WORKGROUP);
const VECTOR_LANES = WORKGROUP / PAIR_LANES;

fn keep_for_trace(writes: bool, at: u32, turned: vec2<f32>) {
  if (writes) {
    qk[at] = turned.x;
    qk[at + HALF] = turned.y;
  }
}

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
    let first = select(V + 1u, lane / PAIR_LANES, lane < PAIR_LANES * VECTOR_LANES);
    for (var v = first; v <= V; v += VECTOR_LANES) {
      if (v == V) {
        let key = rotated(HEADS, pair, true, rotation, params.eps);
        own_key[pair] = key.x;
        own_key[pair + HALF] = key.y;
        keep_for_trace(writes, qk_at + (N_HEADS + kv_head) * HEAD_DIM + pair, key);
      } else {
        // Vectors are written whole: a driver may store all of one for a component.
        var low = vec4(0.0);
        var high = vec4(0.0);
        for (var h = 0u; h < 4u; h++) {
          if (4u * v + h < own_heads) {
            let query = rotated(4u * v + h, pair, false, rotation, params.eps);
            keep_for_trace(writes, qk_at + (q_head + 4u * v + h) * HEAD_DIM + pair, query);
            low[h] = query.x * params.scale;
            high[h] = query.y * params.scale;
          }
        }
        scratch[pair * V + v] = low;
        scratch[(pair + HALF) * V + v] = high;
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
