// Merges the chunks of attention.wgsl and attention_tile.wgsl in fixed order: one workgroup per head and token
// row. Rows whose context is one chunk are finished and left alone.
//
// T rows, D head_dim, C chunks, DP = D rounded up to a multiple of 4. sums [T][n_heads][C][DP/4], stats
// [T][n_heads][C] (largest score, sum of weights), C being step.n_chunks; out [T][n_heads·D], f32.
// Files before it: reduce_*.
// Constants: WORKGROUP (a power of 2, at least DP / 4), CHUNK, HEAD_DIM, N_HEADS as there.
// Grid: (n_heads, rows, 1).
struct Step { n_rows: u32, n_logits: u32, n_chunks: u32, ring_slot: u32 }

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;  // token, position, sequence, flags
@group(0) @binding(2) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

const QUADS = (HEAD_DIM + 3u) / 4u;
const GROUPS = WORKGROUP / QUADS;

var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

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
  let head = row * N_HEADS + group.x;
  let first = head * step.n_chunks;
  let chunks = position / CHUNK + 1u;

  var most = -1e30;
  for (var i = lane; i < chunks; i += WORKGROUP) {
    most = max(most, stats[first + i].x);
  }
  most = workgroup_max(most, lane);
  var weights = 0.0;
  for (var i = lane; i < chunks; i += WORKGROUP) {
    let one = stats[first + i];
    weights += one.y * exp(one.x - most);
  }
  weights = workgroup_sum(weights, lane);

  let chunk_group = lane / QUADS;
  let quad = lane % QUADS;
  var sum = vec4<f32>();
  if (chunk_group < GROUPS) {
    for (var i = chunk_group; i < chunks; i += GROUPS) {
      sum += sums[(first + i) * QUADS + quad] * exp(stats[first + i].x - most);
    }
  }
  partial[lane] = sum;
  workgroupBarrier();
  if (chunk_group > 0u) {
    return;
  }
  for (var i = 1u; i < GROUPS; i++) {
    sum += partial[i * QUADS + quad];
  }
  sum /= weights;
  for (var d = 0u; d < 4u; d++) {
    if (4u * quad + d < HEAD_DIM) {
      out[head * HEAD_DIM + 4u * quad + d] = sum[d];
    }
  }
}
