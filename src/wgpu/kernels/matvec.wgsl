// y[t][y_first + r] = W[r] · x[t] (+ residual[t][y_first + r]) for the rows r of a matrix, or of a part of one.
//
// Files before it: quant_common, numerics_*, quant_<type>, matvec_tile, matvec_multiply.
// Constants: COLUMNS; WORKGROUP threads, in teams of TEAM lanes (TEAM divides WORKGROUP); ROWS of the matrix a team;
//   TOKENS rows of x a workgroup (1, 4 or 8), for which weights are decoded once; TERMS.
// Flags: RESIDUAL; LOGITS: x has step.n_logits rows, not step.n_rows.
// Grid: tiles of WORKGROUP / TEAM * ROWS matrix rows along x, and along z when they are more than 65535 (x · z at
//   least the number of tiles); ceil(rows of x / TOKENS) along y, which is the number of rows where TOKENS is 1.
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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  var n_tokens = groups.y;
  if (TOKENS > 1u) {
    n_tokens = select(step.n_rows, step.n_logits, LOGITS);
  }
  let first_token = group.y * TOKENS;
  if (first_token >= n_tokens) {
    return;
  }
  let first_row = (group.x + group.z * groups.x) * TILE_ROWS + thread / TEAM * ROWS;
  let sums = weights_multiply(first_row, params.rows, first_token, n_tokens, thread % TEAM);
  let outputs = sum_outputs(sums, thread);
  for (var j = 0u; j < OUTPUTS_PER_LANE; j++) {
    let i = thread % TEAM + j * TEAM;
    let row = first_row + i / TOKENS;
    let token = first_token + i % TOKENS;
    if (i < OUTPUTS && row < params.rows && token < n_tokens) {
      let at = token * params.y_stride + params.y_first + row;
      if (RESIDUAL) {
        y[at] = residual[at] + outputs[j];
      } else {
        y[at] = outputs[j];
      }
    }
  }
}
