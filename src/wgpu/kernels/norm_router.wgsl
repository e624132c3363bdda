// The norm before the experts and the router behind it: y[t] = rmsnorm(x[t]) · w as in rms_norm.wgsl, and
// logits[t] = R · y[t] in f32. The first workgroup of a row writes y, the others a tile of logits each; all compute the
// norm, which takes less time than a dispatch that does it first.
//
// Files before it: reduce_*, quantize, quant_common, numerics_exact, quant_<type of R>, matvec_tile, norm_row.
// Constants: COLUMNS; WORKGROUP threads, the norm's, in teams of TEAM lanes (TEAM divides WORKGROUP); ROWS of R a team;
//   TOKENS = 1; TERMS = 1. The order of the sums is that of gemm_tile.wgsl.
// Grid: 1 + ceil(params.rows / (WORKGROUP / TEAM * ROWS)) along x, step.n_rows (or more) along y.
// Bindings: 0 params, 1 x (see numerics), 2 weights: R, 3 step, 4 w f32 [COLUMNS], 5 y f32 [t][COLUMNS], 6 quantized,
//   7 logits f32 [t][params.rows].

struct Params {
  eps: f32,
  rows: u32,  // experts
}

struct Step {
  n_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> quantized: array<u32>;
@group(0) @binding(7) var<storage, read_write> logits: array<f32>;

fn normed_activations(row: u32, unit: u32, scale: f32) -> Activations {
  var v = load_activations(row, unit);
  for (var i = 0u; i < 4u; i++) {
    v.a[i] = normed_quad(v.a[i], scale, 8u * unit + i);
    v.b[i] = normed_quad(v.b[i], scale, 8u * unit + 4u + i);
  }
  return v;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  let held = load_row(row, thread);
  let scale = norm_scale(held, params.eps, thread);
  if (group.x == 0u) {
    put_row(held, scale, row, thread);
    return;
  }

  let lane = thread % TEAM;
  let first_expert = (group.x - 1u) * TILE_ROWS + thread / TEAM * ROWS;
  var sums: array<f32, OUTPUTS>;
  for (var unit = lane; unit < UNITS; unit += TEAM) {
    let v = normed_activations(row, unit, scale);
    for (var r = 0u; r < ROWS; r++) {
      let expert = min(first_expert + r, params.rows - 1u);
      sums[r] = add_unit(weights_load(expert * weights_stride, unit), v, weights_unit_scales, sums[r]);
    }
  }
  let outputs = sum_outputs(sums, thread);
  for (var j = 0u; j < OUTPUTS_PER_LANE; j++) {
    let i = lane + j * TEAM;
    if (i < OUTPUTS && first_expert + i < params.rows) {
      logits[row * params.rows + first_expert + i] = outputs[j];
    }
  }
}
