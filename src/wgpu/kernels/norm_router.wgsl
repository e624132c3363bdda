// The norm before the experts and the router behind it: y[t] = rmsnorm(x[t]) · w as in rms_norm.wgsl, and
// logits[t] = R · y[t] in f32. The first workgroup of a row writes y, the others a tile of logits each; all compute the
// norm, which takes less time than a dispatch that does it first.
//
// Files before it: reduce_*, blocks_*, quantize, quant_common, numerics_exact, quant_<type of R>, matvec_tile, norm_row,
//   store_block, norm_blocks.
// Constants: COLUMNS; WORKGROUP threads, in teams of TEAM lanes (TEAM divides WORKGROUP); LANES, as in the rms_norm.wgsl
//   of other batches; ROWS of R a team; TOKENS = 1; TERMS = 1. The order of the sums is that of gemm_tile.wgsl.
// Flags: KEEP_ROW: y lies in workgroup memory, which takes 128 · (UNITS + 1) bytes; without, every lane norms what it
//   reads of x anew.
// Grid: 1 + ceil(params.rows / (WORKGROUP / TEAM * ROWS)) along x, the rows along y.
// Bindings: 0 params, 1 x (see numerics), 2 weights: R, 3 w f32 [COLUMNS], 4 y f32 [t][COLUMNS], 5 quantized,
//   6 logits f32 [t][params.rows].

struct Params {
  eps: f32,
  rows: u32,  // experts
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> quantized: array<u32>;
@group(0) @binding(6) var<storage, read_write> logits: array<f32>;

const UNITS_PER_LANE = (UNITS + TEAM - 1u) / TEAM;
const AHEAD = min(2u, UNITS_PER_LANE);  // units of R that are loaded before they are needed
const PLANE = UNITS + 1u;               // neighbouring lanes read and write other banks

var<workgroup> kept: array<vec4<f32>, select(1u, 8u * PLANE, KEEP_ROW)>;  // vector j of unit u at j * PLANE + u

fn keep_row(held: HeldRow, held_weights: HeldRow, scale: f32, thread: u32) {
  for (var i = 0u; i < (8u * UNITS + WORKGROUP - 1u) / WORKGROUP; i++) {
    let quad = i * WORKGROUP + thread;
    var value = vec4(0.0);
    if (quad < NORM_QUADS) {
      let own = min(i, QUADS_PER_THREAD - 1u);
      value = normed_quad(held[own], scale, held_weights[own]);
    }
    if (quad < 8u * UNITS) {
      kept[quad % 8u * PLANE + quad / 8u] = value;
    }
  }
}

fn normed_activations(row: u32, unit: u32, scale: f32) -> Activations {
  var v: Activations;
  if (KEEP_ROW) {
    for (var i = 0u; i < 4u; i++) {
      v.a[i] = kept[i * PLANE + unit];
      v.b[i] = kept[(i + 4u) * PLANE + unit];
    }
  } else {
    v = load_activations(row, unit);
    for (var i = 0u; i < 4u; i++) {
      v.a[i] = normed_quad(v.a[i], scale, w[min(8u * unit + i, NORM_QUADS - 1u)]);
      v.b[i] = normed_quad(v.b[i], scale, w[min(8u * unit + 4u + i, NORM_QUADS - 1u)]);
    }
  }
  return v;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let held = load_row(row, thread);
  let held_weights = load_norm_weights(thread);
  let lane = thread % TEAM;
  let first_expert = (group.x - 1u) * TILE_ROWS + thread / TEAM * ROWS;  // wraps in the first workgroup
  var ahead: array<Loaded, AHEAD * ROWS>;
  for (var i = 0u; i < AHEAD * ROWS; i++) {
    let expert = min(first_expert + i % ROWS, params.rows - 1u);
    ahead[i] = weights_load(expert * weights_stride, min(lane + i / ROWS * TEAM, UNITS - 1u));
  }
  let scale = norm_scale(held, params.eps, thread);
  if (group.x == 0u) {
    put_row(held, held_weights, scale, row, true, thread);
    return;
  }
  if (KEEP_ROW) {
    keep_row(held, held_weights, scale, thread);
    workgroupBarrier();
  }

  var sums: array<f32, OUTPUTS>;
  for (var first = 0u; first < UNITS_PER_LANE; first += AHEAD) {
    for (var i = 0u; i < AHEAD * ROWS && first > 0u; i++) {
      let expert = min(first_expert + i % ROWS, params.rows - 1u);
      ahead[i] = weights_load(expert * weights_stride, min(lane + (first + i / ROWS) * TEAM, UNITS - 1u));
    }
    for (var i = 0u; i < AHEAD; i++) {
      let unit = lane + (first + i) * TEAM;
      if (unit < UNITS) {
        let v = normed_activations(row, unit, scale);
        for (var r = 0u; r < ROWS; r++) {
          sums[r] = add_unit(ahead[i * ROWS + r], v, weights_unit_scales, sums[r]);
        }
      }
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
