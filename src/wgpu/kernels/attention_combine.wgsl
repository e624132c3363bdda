// Merges the chunks of attention.wgsl, one lane for four dimensions of a head of a token row. Rows whose context is one
// chunk are finished and left alone.
//
// T rows, D head_dim, C chunks, DP = D rounded up to a multiple of 4. sums [T][n_heads][C][DP/4 + 1] as there, C being
// step.n_chunks; out [T][n_heads·D], f32.
// Files before it: quantize, attention_merge.
// Constants: WORKGROUP (a multiple of 8), CHUNK, HEAD_DIM, N_HEADS, QUANTIZE as there.
// Grid: (ceil(n_heads · DP / 4 / WORKGROUP), rows, 1).
struct Step { n_rows: u32, n_logits: u32, n_chunks: u32, ring_slot: u32 }

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;  // token, position, sequence, flags
@group(0) @binding(2) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> quantized: array<u32>;  // without QUANTIZE any other writable buffer

const QUADS = (HEAD_DIM + 3u) / 4u;
const STRIDE = QUADS + 1u;
const AHEAD = 16u;  // chunks that are loaded before they are merged

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  let position = rows[row].y;
  if (position < CHUNK) {
    return;
  }
  let at = group.x * WORKGROUP + lane;
  let inside = at < N_HEADS * QUADS;
  let head = row * N_HEADS + min(at / QUADS, N_HEADS - 1u);
  let quad = at % QUADS;
  let first = head * step.n_chunks;
  let last = first + position / CHUNK;
  var merged = merge_nothing();
  for (var chunk = first; chunk <= last; chunk += AHEAD) {
    var loaded: array<Merged, AHEAD>;
    for (var i = 0u; i < AHEAD; i++) {
      let from_chunk = min(chunk + i, last) * STRIDE;
      let stats = sums[from_chunk + QUADS];
      loaded[i] = Merged(stats.x, stats.y, sums[from_chunk + quad]);
    }
    for (var i = 0u; i < AHEAD; i++) {
      if (chunk + i <= last) {
        merged = merge(merged, loaded[i]);
      }
    }
  }
  let result = merged.sum / merged.weights;
  for (var d = 0u; d < 4u; d++) {
    if (inside && 4u * quad + d < HEAD_DIM) {
      out[head * HEAD_DIM + 4u * quad + d] = result[d];
    }
  }
  if (QUANTIZE) {
    let block = quantize_lane(result, lane);
    if (inside) {
      let units = N_HEADS * QUADS / 8u;
      let base = quantized_row(row, units);
      quantized[base + quantized_word(units, at / 8u, at % 8u)] = block.word;
      if (at % 8u == 0u) {
        quantized[base + quantized_scale(units, at / 8u)] = bitcast<u32>(block.scale);
        quantized[base + quantized_scale(units, at / 8u) + 1u] = bitcast<u32>(block.sum);
      }
    }
  }
}
