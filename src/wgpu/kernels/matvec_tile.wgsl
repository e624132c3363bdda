// The tile of outputs of a mat-vec's workgroup: TEAMS teams of TEAM lanes, each with ROWS matrix rows for TOKENS rows
// of x.
// Constants: WORKGROUP, TEAM, ROWS, TOKENS (1, 4 or 8). Workgroup memory: 4 · WORKGROUP · (OUTPUTS + 1) bytes.

const TEAMS: u32 = WORKGROUP / TEAM;
const TILE_ROWS: u32 = TEAMS * ROWS;
const OUTPUTS: u32 = ROWS * TOKENS;  // of a team: output r * TOKENS + t
const OUTPUTS_PER_LANE: u32 = (OUTPUTS + TEAM - 1u) / TEAM;
const SUMS_STRIDE: u32 = OUTPUTS + 1u;  // neighbouring lanes write to different banks

var<workgroup> lane_sums: array<f32, WORKGROUP * SUMS_STRIDE>;

// Adds up the sums of a team's lanes, lane after lane: the order of gemm_tile.wgsl. Entry j is output lane + j * TEAM,
// where there is such an output. Every thread calls it once, in uniform control flow.
fn sum_outputs(sums: array<f32, OUTPUTS>, thread: u32) -> array<f32, OUTPUTS_PER_LANE> {
  for (var i = 0u; i < OUTPUTS; i++) {
    lane_sums[thread * SUMS_STRIDE + i] = sums[i];
  }
  workgroupBarrier();
  let first = (thread - thread % TEAM) * SUMS_STRIDE;
  var outputs: array<f32, OUTPUTS_PER_LANE>;
  for (var j = 0u; j < OUTPUTS_PER_LANE; j++) {
    let output = thread % TEAM + j * TEAM;
    if (output < OUTPUTS) {
      var sum = lane_sums[first + output];
      for (var lane = 1u; lane < TEAM; lane++) {
        sum += lane_sums[first + lane * SUMS_STRIDE + output];
      }
      outputs[j] = sum;
    }
  }
  return outputs;
}
