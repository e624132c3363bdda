// Writes a position's key and value into the cache.
//
// cache: [page][n_kv_heads][2·64·DP] elements of f32 or f16 (two in a word), DP = D rounded up to a multiple
// of 4, zero beyond D: the keys as [DP/4][64][4], so that neighbouring lanes of attention.wgsl read
// neighbouring positions; then the values as [64][DP].
// Bindings of the kernel: cache.
// Constants: WORKGROUP, HEAD_DIM, N_KV_HEADS. Flag: KV_F16. Workgroup memory, in bytes: 8 · D.

var<workgroup> own_key: array<f32, HEAD_DIM>;  // of the position, as own_value
var<workgroup> own_value: array<f32, HEAD_DIM>;

// Stores four elements of the cache, the quad-th from its start.
fn store_quad(quad: u32, values: vec4<f32>) {
  if (KV_F16) {
    cache[quad] = vec2(pack2x16float(values.xy), pack2x16float(values.zw));
  } else {
    let bits = bitcast<vec4<u32>>(values);
    cache[2u * quad] = bits.xy;
    cache[2u * quad + 1u] = bits.zw;
  }
}

// Every thread calls it, behind a barrier after own_key and own_value were filled. `page`: the position's.
fn write_kv(page: u32, position: u32, kv_head: u32, lane: u32) {
  const page_size = 64u;
  const quads = (HEAD_DIM + 3u) / 4u;
  let keys = (page * N_KV_HEADS + kv_head) * 2u * page_size * quads;
  let slot = position % page_size;
  for (var quad = lane; quad < quads; quad += WORKGROUP) {
    var key = vec4<f32>();
    var value = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
      let d = 4u * quad + i;
      if (d < HEAD_DIM) {
        key[i] = own_key[d];
        value[i] = own_value[d];
      }
    }
    store_quad(keys + quad * page_size + slot, key);
    store_quad(keys + (page_size + slot) * quads + quad, value);
  }
}
