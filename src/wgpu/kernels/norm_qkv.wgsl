// The norm before attention and the three projections behind it, for one row of a sequence in 8-bit blocks: what
// rms_norm.wgsl and qkv.wgsl do, without a dispatch between. The first workgroup of a row writes the normed row, for the
// trace; the others a tile of projections each; all compute the norm.
//
// Files before it: reduce_*, blocks_*, quantize, quant_common, numerics_fast, activations_kept, matvec_tile, quant_<its type> and
//   matvec_multiply for each of the three, with "weights" replaced by "wq", "wk" and "wv", norm_row.
// Constants: COLUMNS; WORKGROUP threads, in teams of TEAM lanes (TEAM divides WORKGROUP); LANES, as in the rms_norm.wgsl
//   of other batches; ROWS of the matrices a team; TOKENS = 1; TERMS. Flag: QUANTIZE, true.
// Grid: 1 + the sum over the three of ceil(its rows / (WORKGROUP / TEAM * ROWS)) along x, the rows along y.
// Bindings: 0 params, 1 x f32 [t][COLUMNS], 2 wq, 3 wk, 4 wv, 5 w f32 [COLUMNS], 6 y f32 [t][COLUMNS], 7 projections
//   f32 [t][q_rows + k_rows + v_rows].

struct Params {
  eps: f32,
  q_rows: u32,
  k_rows: u32,
  v_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> wq: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> wk: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> wv: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> projections: array<f32>;

fn put_block(row: u32, quad: u32, block: QuantizedLane) {
  let term = row % TERMS;
  keep_word(term, quad / 8u, quad % 8u, block.word);
  if (quad % 8u == 0u) {
    kept_scales[term * UNITS + quad / 8u] = vec2(block.scale, block.sum);
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let held = load_row(row, thread);
  let held_weights = load_norm_weights(thread);
  let scale = norm_scale(held, params.eps, thread);
  put_row(held, held_weights, scale, row, group.x == 0u, thread);
  if (group.x == 0u) {
    return;
  }
  workgroupBarrier();

  let lane = thread % TEAM;
  let tile = group.x - 1u;
  let q_tiles = (params.q_rows + TILE_ROWS - 1u) / TILE_ROWS;
  let k_tiles = (params.k_rows + TILE_ROWS - 1u) / TILE_ROWS;
  var first_row = tile * TILE_ROWS + thread / TEAM * ROWS;
  var n_rows = params.q_rows;
  var y_first = 0u;
  var sums: array<f32, OUTPUTS>;
  if (tile < q_tiles) {
    sums = wq_multiply(first_row, n_rows, 0u, 1u, lane);
  } else if (tile < q_tiles + k_tiles) {
    first_row -= q_tiles * TILE_ROWS;
    n_rows = params.k_rows;
    y_first = params.q_rows;
    sums = wk_multiply(first_row, n_rows, 0u, 1u, lane);
  } else {
    first_row -= (q_tiles + k_tiles) * TILE_ROWS;
    n_rows = params.v_rows;
    y_first = params.q_rows + params.k_rows;
    sums = wv_multiply(first_row, n_rows, 0u, 1u, lane);
  }

  let outputs = sum_outputs(sums, thread);
  for (var j = 0u; j < OUTPUTS_PER_LANE; j++) {
    let i = lane + j * TEAM;
    if (i < OUTPUTS && first_row + i < n_rows) {
      projections[row * (params.q_rows + params.k_rows + params.v_rows) + y_first + first_row + i] = outputs[j];
    }
  }
}
