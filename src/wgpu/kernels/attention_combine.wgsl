// Merges the chunks of attention.wgsl, one lane for four dimensions of a head of a token row. Rows whose context is one
// chunk are finished and left alone.
//
// T rows, D head_dim, C chunks, DP = D rounded up to a multiple of 4. sums [T][n_heads][C][DP/4], stats
// [T][n_heads][C] (largest score, sum of weights), C being step.n_chunks; out [T][n_heads·D], f32.
// Files before it: attention_merge.
// Constants: WORKGROUP, CHUNK, HEAD_DIM, N_HEADS as there.
// Grid: (ceil(n_heads · DP / 4 / WORKGROUP), rows, 1).
struct Step { n_rows: u32, n_logits: u32, n_chunks: u32, ring_slot: u32 }

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;  // token, position, sequence, flags
@group(0) @binding(2) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

const QUADS = (HEAD_DIM + 3u) / 4u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let at = group.x * WORKGROUP + lane;
  if (row >= step.n_rows || at >= N_HEADS * QUADS) {
    return;
  }
  let position = rows[row].y;
  if (position < CHUNK) {
    return;
  }
  let head = row * N_HEADS + at / QUADS;
  let quad = at % QUADS;
  let first = head * step.n_chunks;
  var merged = merge_nothing();
  for (var i = first; i <= first + position / CHUNK; i++) {
    merged = merge(merged, Merged(stats[i].x, stats[i].y, sums[i * QUADS + quad]));
  }
  let result = merged.sum / merged.weights;
  for (var d = 0u; d < 4u; d++) {
    if (4u * quad + d < HEAD_DIM) {
      out[head * HEAD_DIM + 4u * quad + d] = result[d];
    }
  }
}
