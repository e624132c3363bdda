// Three matrices of any types times the same activations, in one dispatch: y[t] = (Q · x[t], K · x[t], V · x[t]).
//
// Files before it: quant_common, numerics_*, matvec_tile, then quant_<its type> and matvec_multiply for each
//   of the three, with "weights" replaced by "wq", "wk" and "wv".
// Constants: COLUMNS, WORKGROUP, TEAM, ROWS, TOKENS, TERMS as in matvec.wgsl.
// Grid: the sum over the three of ceil(its rows / (WORKGROUP / TEAM * ROWS)) along x, ceil(step.n_rows / TOKENS) along
//   y.
// Bindings: 0 params, 1 x (see numerics), 2 wq, 3 wk, 4 wv, 5 step, 6 y: f32 [rows of x][q_rows + k_rows + v_rows].

struct Params {
  q_rows: u32,
  k_rows: u32,
  v_rows: u32,
}

struct Step {
  n_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> wq: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> wk: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> wv: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> step: Step;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  var n_tokens = groups.y;
  if (TOKENS > 1u) {
    n_tokens = step.n_rows;
  }
  let first_token = group.y * TOKENS;
  if (first_token >= n_tokens) {
    return;
  }
  let lane = thread % TEAM;
  let q_tiles = (params.q_rows + TILE_ROWS - 1u) / TILE_ROWS;
  let k_tiles = (params.k_rows + TILE_ROWS - 1u) / TILE_ROWS;
  var first_row = group.x * TILE_ROWS + thread / TEAM * ROWS;
  var n_rows = params.q_rows;
  var y_first = 0u;
  var sums: array<f32, OUTPUTS>;
  if (group.x < q_tiles) {
    sums = wq_multiply(first_row, n_rows, first_token, n_tokens, lane);
  } else if (group.x < q_tiles + k_tiles) {
    first_row -= q_tiles * TILE_ROWS;
    n_rows = params.k_rows;
    y_first = params.q_rows;
    sums = wk_multiply(first_row, n_rows, first_token, n_tokens, lane);
  } else {
    first_row -= (q_tiles + k_tiles) * TILE_ROWS;
    n_rows = params.v_rows;
    y_first = params.q_rows + params.k_rows;
    sums = wv_multiply(first_row, n_rows, first_token, n_tokens, lane);
  }

  let y_stride = params.q_rows + params.k_rows + params.v_rows;
  let outputs = sum_outputs(sums, thread);
  for (var j = 0u; j < OUTPUTS_PER_LANE; j++) {
    let i = lane + j * TEAM;
    let row = first_row + i / TOKENS;
    let token = first_token + i % TOKENS;
    if (i < OUTPUTS && row < n_rows && token < n_tokens) {
      y[token * y_stride + y_first + row] = outputs[j];
    }
  }
}
