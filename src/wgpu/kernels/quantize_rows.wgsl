// Rows of f32 to 8-bit blocks of 32 columns, in the layout numerics_fast.wgsl names.
//
// Files before it: blocks_*, quantize, store_block.
// Constants: COLUMNS, a multiple of 32; WORKGROUP threads, four columns each; ROWS_PER_TOKEN: rows of a token (1, or
//   the experts per token for activations of experts).
// Grid: ceil(COLUMNS / 4 / WORKGROUP) along x, step.n_rows · ROWS_PER_TOKEN (or more) along y.
// Bindings: 0 x, f32 [rows][COLUMNS], 1 step, 2 quantized.

struct Step {
  n_rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read_write> quantized: array<u32>;

const UNITS: u32 = COLUMNS / 32u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  if (row >= step.n_rows * ROWS_PER_TOKEN) {
    return;
  }
  let at = group.x * WORKGROUP + thread;
  let unit = at / 8u;
  let inside = unit < UNITS;
  var value = vec4(0.0);
  if (inside) {
    value = x[row * (COLUMNS / 4u) + at];
  }
  let lane = quantize_lane(value, thread);
  if (inside) {
    store_block(row, UNITS, at, lane);
  }
}
