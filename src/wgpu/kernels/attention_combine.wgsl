// Merges what the workgroups of attention.wgsl left, a workgroup for a head of a token row. Rows whose context one of
// those took alone are finished and left alone.
//
// T rows, D head_dim, DP = D rounded up to a multiple of 4, C step.n_splits. sums [T][n_heads][C][DP/4 + 1] as there; out
// [T][n_heads·D], f32.
// Files before it: blocks_*, quantize, store_block, attention_merge.
// Constants: WORKGROUP (a multiple of 8, at least DP / 4), CHUNK, CHUNKS_EACH (a divisor of GROUP_CHUNKS), GROUP_CHUNKS,
// HEAD_DIM, N_HEADS, QUANTIZE as there; TILE, splits that are loaded at a time. Workgroup memory, in bytes: 16 · TILE ·
// (DP / 4 + 1) + 4 · WORKGROUP.
// Grid: (n_heads, rows, 1).
struct Step { n_rows: u32, n_logits: u32, n_splits: u32, unused: u32 }

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;  // token, position, slot, flags
@group(0) @binding(2) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> quantized: array<u32>;  // without QUANTIZE any other writable buffer

const QUADS = (HEAD_DIM + 3u) / 4u;
const STRIDE = QUADS + 1u;
const GROUP_SPLITS = GROUP_CHUNKS / CHUNKS_EACH;
const LOADS = (TILE * STRIDE + WORKGROUP - 1u) / WORKGROUP;

var<workgroup> loaded: array<vec4<f32>, TILE * STRIDE>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let position = rows[row].y;
  if (position < CHUNKS_EACH * CHUNK) {
    return;
  }
  let n_splits = position / (CHUNKS_EACH * CHUNK) + 1u;
  let head = row * N_HEADS + group.x;
  let quad = min(lane, QUADS - 1u);
  var merged = merge_nothing();
  var of_group = merge_nothing();
  for (var first = 0u; first < n_splits; first += TILE) {
    let count = min(TILE, n_splits - first);
    workgroupBarrier();  // what the last tile's lanes read is still in use
    // All loads before the first is waited for.
    var ahead: array<vec4<f32>, LOADS>;
    for (var i = 0u; i < LOADS; i++) {
      ahead[i] = sums[(head * step.n_splits + first) * STRIDE + min(i * WORKGROUP + lane, count * STRIDE - 1u)];
    }
    for (var i = 0u; i < LOADS; i++) {
      if (i * WORKGROUP + lane < TILE * STRIDE) {
        loaded[i * WORKGROUP + lane] = ahead[i];
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < count; i++) {
      let stats = loaded[i * STRIDE + QUADS];
      let split = Merged(stats.x, stats.y, loaded[i * STRIDE + quad]);
      if (GROUP_SPLITS == 1u) {
        merged = merge(merged, split);
      } else {
        of_group = merge(of_group, split);
        if ((first + i) % GROUP_SPLITS == GROUP_SPLITS - 1u || first + i == n_splits - 1u) {
          merged = merge(merged, of_group);
          of_group = merge_nothing();
        }
      }
    }
  }
  let result = merged.sum / merged.weights;
  for (var d = 0u; d < 4u; d++) {
    if (lane < QUADS && 4u * quad + d < HEAD_DIM) {
      out[head * HEAD_DIM + 4u * quad + d] = result[d];
    }
  }
  if (QUANTIZE) {
    let block = quantize_lane(result, lane);
    if (lane < QUADS) {
      store_block(row, N_HEADS * QUADS / 8u, group.x * QUADS + lane, block);
    }
  }
}
