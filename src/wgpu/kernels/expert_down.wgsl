// moe[t][h] = sum over slots s of weight[t][s] * (down_e[h] · act[t][s]), e = ids[t][s]; layer_out = residual + moe.
// The whole tensor in one binding; expert_down_part.wgsl and expert_sum.wgsl are for one split over several.
//
// Files before it: quant_common, numerics_*, quant_<type>.
// Constants: COLUMNS (expert width); EXPERTS_PER_TOKEN; N_EXPERTS; WORKGROUP threads, in teams of TEAM lanes; ROWS of
//   the output a team.
// Grid: ceil(params.rows / (WORKGROUP / TEAM * ROWS)) along x, rows along y.
// Bindings: 0 params, 1 x: act [t][s] rows (see numerics), 2 weights, 3 ids, 4 expert_weights f32 [t][s], 5 residual,
//   6 moe_out, 7 layer_out, all f32 [t][params.rows].
// The order of the sums is that of gemm_down.wgsl and expert_sum.wgsl: an expert's lanes one after another, then the
// experts in rank order. Workgroup memory: 4 · ROWS · EXPERTS_PER_TOKEN · (WORKGROUP + 2 · TEAMS) bytes.

struct Params {
  rows: u32,  // of one expert: the hidden size
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read> expert_weights: array<f32>;
@group(0) @binding(5) var<storage, read> residual: array<f32>;
@group(0) @binding(6) var<storage, read_write> moe_out: array<f32>;
@group(0) @binding(7) var<storage, read_write> layer_out: array<f32>;

const TEAMS: u32 = WORKGROUP / TEAM;
const TILE: u32 = TEAMS * ROWS;

const TEAM_STRIDE: u32 = TEAM + 1u;              // the lanes that add up teams read other banks

var<workgroup> lane_sums: array<f32, TILE * EXPERTS_PER_TOKEN * TEAM_STRIDE>;  // [row][slot][lane]
var<workgroup> expert_sums: array<f32, TILE * EXPERTS_PER_TOKEN>;              // [row][slot]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let token = group.y;
  let lane = thread % TEAM;
  let first_row = (group.x * TEAMS + thread / TEAM) * ROWS;

  for (var s = 0u; s < EXPERTS_PER_TOKEN; s++) {
    let slot = token * EXPERTS_PER_TOKEN + s;
    let expert = min(ids[slot], N_EXPERTS - 1u);
    var sums: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
      sums[r] = 0.0;  // Naga clears a variable once, not each time around
    }
    for (var unit = lane; unit < UNITS; unit += TEAM) {
      let v = load_activations(slot, unit);
      for (var r = 0u; r < ROWS; r++) {
        let row = expert * params.rows + min(first_row + r, params.rows - 1u);
        sums[r] = add_unit(weights_load(row * weights_stride, unit), v, weights_unit_scales, sums[r]);
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      let row = thread / TEAM * ROWS + r;
      lane_sums[(row * EXPERTS_PER_TOKEN + s) * TEAM_STRIDE + lane] = sums[r];
    }
  }
  workgroupBarrier();
  for (var i = thread; i < TILE * EXPERTS_PER_TOKEN; i += WORKGROUP) {
    let first = i * TEAM_STRIDE;
    var sum = lane_sums[first];
    for (var j = 1u; j < TEAM; j++) {
      sum += lane_sums[first + j];
    }
    expert_sums[i] = sum;
  }
  workgroupBarrier();
  for (var i = thread; i < TILE; i += WORKGROUP) {
    let row = group.x * TILE + i;
    if (row < params.rows) {
      var sum = 0.0;
      for (var s = 0u; s < EXPERTS_PER_TOKEN; s++) {
        sum = fma(expert_weights[token * EXPERTS_PER_TOKEN + s], expert_sums[i * EXPERTS_PER_TOKEN + s], sum);
      }
      let at = token * params.rows + row;
      moe_out[at] = sum;
      layer_out[at] = residual[at] + sum;
    }
  }
}
