// The queries of attention.wgsl as qk_norm_rope.wgsl left them: qk [T][Q+K], queries first. The cache is complete.
@group(0) @binding(4) var<storage, read> qk: array<f32>;
@group(0) @binding(5) var<storage, read> cache: array<vec2<u32>>;

// Fills kept_queries, or scratch, with the queries as [dimension][head], zero where there is none.
fn load_queries(row: u32, chunk: u32, position: u32, kv_head: u32, first_head: u32, lane: u32) {
  let q_at = row * (N_HEADS + N_KV_HEADS) * HEAD_DIM + (kv_head * HEADS_PER_KV + first_head) * HEAD_DIM;
  for (var i = lane; i < 4u * QUADS * V; i += WORKGROUP) {
    let d = i / V;
    var q = vec4<f32>();
    for (var h = 0u; h < 4u; h++) {
      let head = 4u * (i % V) + h;
      if (d < HEAD_DIM && first_head + head < HEADS_PER_KV) {
        q[h] = qk[q_at + head * HEAD_DIM + d] * params.scale;
      }
    }
    if (KEEPS_QUERIES) {
      kept_queries[i] = q;
    } else {
      scratch[i] = q;
    }
  }
}
