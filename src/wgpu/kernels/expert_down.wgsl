// moe[t][h] = sum over slots s of weight[t][s] * (down_e[h] · act[t][s]), e = ids[t][s]; layer_out = residual + moe.
// The whole tensor in one binding; expert_down_part.wgsl and expert_sum.wgsl are for one split over several.
//
// Files before it: reduce_*, quant_common, numerics_*, quant_<type>.
// Constants: COLUMNS (expert width); EXPERTS_PER_TOKEN; N_EXPERTS; WORKGROUP threads, in teams of TEAM lanes; ROWS of
//   the output a team.
// Grid: ceil(params.rows / (WORKGROUP / TEAM * ROWS)) along x, step.n_rows (or more) along y.
// Bindings: 0 params, 1 x: act [t][s] rows (see numerics), 2 weights, 3 step, 4 ids, 5 expert_weights f32 [t][s],
//   6 residual, 7 moe_out, 8 layer_out, all f32 [t][params.rows].
// Each lane adds its share of every expert in rank order, then lanes are added up.

struct Params {
  rows: u32,  // of one expert: the hidden size
}

struct Step {
  n_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read> ids: array<u32>;
@group(0) @binding(5) var<storage, read> expert_weights: array<f32>;
@group(0) @binding(6) var<storage, read> residual: array<f32>;
@group(0) @binding(7) var<storage, read_write> moe_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> layer_out: array<f32>;

const TEAMS: u32 = WORKGROUP / TEAM;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let token = group.y;
  if (token >= step.n_rows) {
    return;
  }
  let lane = thread % TEAM;
  let first_row = (group.x * TEAMS + thread / TEAM) * ROWS;

  var sums: array<f32, ROWS>;
  for (var i = lane; i < EXPERTS_PER_TOKEN * UNITS; i += TEAM) {
    let slot = token * EXPERTS_PER_TOKEN + i / UNITS;
    let unit = i % UNITS;
    let expert = min(ids[slot], N_EXPERTS - 1u);
    let v = load_activations(slot, unit);
    for (var r = 0u; r < ROWS; r++) {
      let row = expert * params.rows + min(first_row + r, params.rows - 1u);
      sums[r] = fma(expert_weights[slot], dot_unit(weights_load(row * weights_stride, unit), v), sums[r]);
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    let sum = team_sum(sums[r], thread);
    if (lane == 0u && first_row + r < params.rows) {
      let at = token * params.rows + first_row + r;
      moe_out[at] = sum;
      layer_out[at] = residual[at] + sum;
    }
  }
}
