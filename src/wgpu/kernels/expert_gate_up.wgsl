// act[t][s][f] = silu(gate_e[f] · x[t]) * (up_e[f] · x[t]) with e = ids[t][s], for the chosen experts only. Every
// workgroup chooses the experts of its token anew, which takes less time than a dispatch that does it first; one of
// them, of each part of split tensors, writes ids and expert_weights for what comes behind.
//
// Files before it: quant_common, numerics_*, quant_<type of gate> with "weights" replaced by "gate",
//   quant_<type of up> with "weights" replaced by "up", blocks_*, quantize, swiglu, top_k.
// Constants: COLUMNS (hidden size); N_EXPERTS; EXPERTS_PER_TOKEN; WORKGROUP threads, in teams of TEAM lanes; ROWS of each matrix
//   a team.
// Flags: QUANTIZE: write act as 8-bit blocks; a workgroup then owns one: WORKGROUP / TEAM * ROWS is 32, params.rows a
//   multiple of 32, WORKGROUP a multiple of 8.
// Grid: ceil(params.rows / (WORKGROUP / TEAM * ROWS)) along x, rows · EXPERTS_PER_TOKEN along y.
// Bindings: 0 params, 1 x (see numerics), 2 gate, 3 up, 4 router_logits [t][N_EXPERTS], 5 act: f32 [t][s][params.rows]
//   or blocks, 6 ids [t][s], 7 expert_weights [t][s].
// Slots whose expert is outside this part of the tensors are left alone.

struct Params {
  rows: u32,  // of one expert: its width F
  first_expert: u32,
  n_experts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> gate: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> up: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> router_logits: array<u32>;
@group(0) @binding(5) var<storage, read_write> act: array<u32>;
@group(0) @binding(6) var<storage, read_write> ids: array<u32>;
@group(0) @binding(7) var<storage, read_write> expert_weights: array<f32>;

const TEAMS: u32 = WORKGROUP / TEAM;

var<workgroup> tile: array<f32, TEAMS * ROWS>;
const TEAM_STRIDE: u32 = TEAM + 1u;  // the lanes that add up teams read other banks

var<workgroup> lane_sums: array<vec2<f32>, TEAMS * ROWS * TEAM_STRIDE>;  // [team][row][lane]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let slot = group.y;
  let token = slot / EXPERTS_PER_TOKEN;
  let rank = slot % EXPERTS_PER_TOKEN;
  let writes = group.x == 0u && rank == 0u;
  choose_experts(token, writes, thread);
  if (writes) {
    for (var i = thread; i < EXPERTS_PER_TOKEN; i += WORKGROUP) {
      ids[slot + i] = chosen_ids[i];
      expert_weights[slot + i] = chosen_weights[i];
    }
  }
  let expert = chosen_ids[rank] - params.first_expert;  // wraps below the part
  if (expert >= params.n_experts) {
    return;
  }
  let lane = thread % TEAM;
  let first_row = (group.x * TEAMS + thread / TEAM) * ROWS;

  var sums: array<vec2<f32>, ROWS>;
  for (var unit = lane; unit < UNITS; unit += TEAM) {
    let v = load_activations(token, unit);
    for (var r = 0u; r < ROWS; r++) {
      let row = expert * params.rows + min(first_row + r, params.rows - 1u);
      sums[r].x = add_unit(gate_load(row * gate_stride, unit), v, gate_unit_scales, sums[r].x);
      sums[r].y = add_unit(up_load(row * up_stride, unit), v, up_unit_scales, sums[r].y);
    }
  }
  // Lane after lane, as gemm_tile.wgsl does.
  for (var r = 0u; r < ROWS; r++) {
    lane_sums[(thread / TEAM * ROWS + r) * TEAM_STRIDE + lane] = sums[r];
  }
  workgroupBarrier();
  for (var i = thread; i < TEAMS * ROWS; i += WORKGROUP) {
    let first = i * TEAM_STRIDE;
    var sum = lane_sums[first];
    for (var j = 1u; j < TEAM; j++) {
      sum += lane_sums[first + j];
    }
    tile[i] = swiglu(sum.x, sum.y);
  }
  workgroupBarrier();

  if (QUANTIZE) {
    let units = params.rows / 32u;
    var value = vec4(0.0);
    if (thread < 8u) {
      value = vec4(tile[4u * thread], tile[4u * thread + 1u], tile[4u * thread + 2u], tile[4u * thread + 3u]);
    }
    let quantized = quantize_lane(value, thread);
    let base = quantized_row(slot, units);
    if (thread < 8u) {
      act[base + quantized_word(units, group.x, thread)] = quantized.word;
    }
    if (thread == 0u) {
      act[base + quantized_scale(units, group.x)] = bitcast<u32>(quantized.scale);
      act[base + quantized_scale(units, group.x) + 1u] = bitcast<u32>(quantized.sum);
    }
  } else {
    for (var i = thread; i < TEAMS * ROWS; i += WORKGROUP) {
      let row = group.x * TEAMS * ROWS + i;
      if (row < params.rows) {
        act[slot * params.rows + row] = bitcast<u32>(tile[i]);
      }
    }
  }
}
