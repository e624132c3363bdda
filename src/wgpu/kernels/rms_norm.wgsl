// y[t] = x[t] / sqrt(mean(x[t]²) + eps) · w, one workgroup per token row.
//
// Files before it: reduce_*, blocks_*, quantize, norm_row, store_block, norm_blocks, with their constants and flags.
// Flags: LOGITS: only rows that want logits (bit 0 of their flags), of these the step.n_logits from step.first_logits
//   on, and their results stand behind one another.
// Grid: 1 along x, step.n_rows (or more) along y.
// Bindings: 0 params, 1 step, 2 rows, 3 x f32 [t][COLUMNS], 4 w f32 [COLUMNS], 5 y f32 [t][COLUMNS], 6 quantized
//   (without QUANTIZE any other writable buffer).

struct Params {
  eps: f32,
}

struct Step {
  n_rows: u32,
  n_logits: u32,
  n_splits: u32,
  unused: u32,
  first_logits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;  // token, position, slot, flags
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> quantized: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  var out_row = row;
  if (LOGITS) {
    if ((rows[row].w & 1u) == 0u) {
      return;
    }
    var earlier: array<f32, LANES_EACH>;
    for (var i = thread; i < row; i += WORKGROUP) {
      earlier[0] += f32(rows[i].w & 1u);
    }
    out_row = u32(lanes_sum(earlier, thread)) - step.first_logits;  // wraps below the first
    if (out_row >= step.n_logits) {
      return;
    }
  }

  let held = load_row(row, thread);
  let held_weights = load_norm_weights(thread);
  put_row(held, held_weights, norm_scale(held, params.eps, thread), out_row, true, thread);
}
