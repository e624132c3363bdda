// down[t][s][h] = down_e[h] · act[t][s] with e = ids[t][s], for the experts that this part of a split tensor holds;
// other slots are left alone. expert_sum.wgsl follows when all parts are done.
//
// Files before it: quant_common, numerics_*, quant_<type>.
// Constants: COLUMNS (expert width); EXPERTS_PER_TOKEN; WORKGROUP threads, in teams of TEAM lanes; ROWS of the output a
//   team.
// Grid: ceil(params.rows / (WORKGROUP / TEAM * ROWS)) along x, step.n_rows · EXPERTS_PER_TOKEN (or more) along y.
// Bindings: 0 params, 1 x: act [t][s] rows (see numerics), 2 weights, 3 step, 4 ids, 5 down f32 [t][s][params.rows].

struct Params {
  rows: u32,  // of one expert: the hidden size
  first_expert: u32,
  n_experts: u32,
}

struct Step {
  n_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read> ids: array<u32>;
@group(0) @binding(5) var<storage, read_write> down: array<f32>;

const TEAMS: u32 = WORKGROUP / TEAM;

var<workgroup> lane_sums: array<f32, WORKGROUP * ROWS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let slot = group.y;
  if (slot >= step.n_rows * EXPERTS_PER_TOKEN) {
    return;
  }
  let expert = ids[slot] - params.first_expert;  // wraps below the part
  if (expert >= params.n_experts) {
    return;
  }
  let lane = thread % TEAM;
  let first_row = (group.x * TEAMS + thread / TEAM) * ROWS;

  var sums: array<f32, ROWS>;
  for (var unit = lane; unit < UNITS; unit += TEAM) {
    let v = load_activations(slot, unit);
    for (var r = 0u; r < ROWS; r++) {
      let row = expert * params.rows + min(first_row + r, params.rows - 1u);
      sums[r] = add_unit(weights_load(row * weights_stride, unit), v, weights_unit_scales, sums[r]);
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    lane_sums[r * WORKGROUP + thread] = sums[r];
  }
  workgroupBarrier();
  for (var i = thread; i < TEAMS * ROWS; i += WORKGROUP) {
    let row = group.x * TEAMS * ROWS + i;
    if (row < params.rows) {
      let first = i % ROWS * WORKGROUP + i / ROWS * TEAM;
      var sum = lane_sums[first];
      for (var j = 1u; j < TEAM; j++) {
        sum += lane_sums[first + j];
      }
      down[slot * params.rows + row] = sum;
    }
  }
}
