// y[t][y_first + r] = W[r] · x[t] (+ residual[t][y_first + r]) for the rows r of a matrix, or of a part of one, and
// many tokens t: matvec.wgsl's work for prefill.
//
// Files before it: quant_common, numerics_*, quant_<type>, gemm_exact or gemm_fast as the numerics, gemm_tile.
// Constants: those of gemm_tile.
// Flags: PREFETCH; RESIDUAL; LOGITS: x has step.n_logits rows, not step.n_rows.
// Grid: ceil(params.rows / TILE_ROWS) along x, ceil(rows of x / TILE) (or more) along y.
// Bindings: 0 params, 1 x (see numerics), 2 weights, 3 step, 4 residual (anything readable but y without RESIDUAL),
//   5 y. y and residual: f32 [rows of x][y_stride].

struct Params {
  rows: u32,      // of this matrix or part
  y_stride: u32,  // a row of y
  y_first: u32,   // where its outputs begin in a row of y
}

struct Step {
  n_rows: u32,
  n_logits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

struct Place {
  first_row: u32,
}

const SCALES: u32 = weights_unit_scales;
const MINIMA: u32 = weights_unit_minima;

fn row_scales(place: Place, r: u32) -> u32 {
  return weights_unit_scales;
}

fn load_weight(place: Place, row: u32, unit: u32) -> Loaded {
  return weights_load(min(place.first_row + row, params.rows - 1u) * weights_stride, unit);
}

fn put(row: u32, token: u32, value: f32) {
  if (row < params.rows && token < select(step.n_rows, step.n_logits, LOGITS)) {
    let at = token * params.y_stride + params.y_first + row;
    if (RESIDUAL) {
      y[at] = residual[at] + value;
    } else {
      y[at] = value;
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let n_tokens = select(step.n_rows, step.n_logits, LOGITS);
  let first_token = group.y * TILE;
  let first_row = group.x * TILE_ROWS;
  if (first_token >= n_tokens || first_row >= params.rows) {
    return;
  }
  for (var i = thread; i < TILE; i += WORKGROUP) {
    x_rows[i] = min(first_token + i, n_tokens - 1u);
  }
  workgroupBarrier();
  var sums = multiply_tile(Place(first_row), n_tokens - first_token, thread);
  for (var r = 0u; r < ROWS; r++) {
    let row = first_row + own_row(thread, r);
    for (var q = 0u; q < QUADS; q++) {
      let sum = sums[r * QUADS + q];
      put(row, first_token + own_token(thread, 4u * q), sum.x);
      put(row, first_token + own_token(thread, 4u * q + 1u), sum.y);
      put(row, first_token + own_token(thread, 4u * q + 2u), sum.z);
      put(row, first_token + own_token(thread, 4u * q + 3u), sum.w);
    }
  }
}
