// The tile of outputs of a mat-vec's workgroup: TEAMS teams of TEAM lanes, each with ROWS matrix rows for TOKENS rows
// of x.
// Constants: WORKGROUP, TEAM, ROWS, TOKENS (1, 4 or 8).

const TEAMS: u32 = WORKGROUP / TEAM;
const TILE_ROWS: u32 = TEAMS * ROWS;
const OUTPUTS: u32 = ROWS * TOKENS;

// Adds up the sums of a team's lanes. Afterwards lane i holds output i, i + TEAM, … of the array it gets back, at the
// same index: output r * TOKENS + t. Every thread calls it, in uniform control flow.
fn sum_outputs(sums: array<f32, OUTPUTS>, thread: u32) -> array<f32, OUTPUTS> {
  var outputs = sums;
  if (OUTPUTS == 1u) {
    outputs[0] = team_sum(outputs[0], thread);
  } else if (OUTPUTS % 4u != 0u) {
    for (var i = 0u; i < OUTPUTS; i++) {
      outputs[i] = team_sum(outputs[i], thread);
    }
  } else {
    for (var i = 0u; i + 3u < OUTPUTS; i += 4u) {
      let sum = team_sum4(vec4(outputs[i], outputs[i + 1u], outputs[i + 2u], outputs[i + 3u]), thread);
      outputs[i] = sum.x;
      outputs[i + 1u] = sum.y;
      outputs[i + 2u] = sum.z;
      outputs[i + 3u] = sum.w;
    }
  }
  return outputs;
}
