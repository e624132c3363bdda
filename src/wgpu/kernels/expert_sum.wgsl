// moe[t][h] = sum over slots s, in rank order, of weight[t][s] * down[t][s][h]; layer_out = residual + moe.
//
// Constants: EXPERTS_PER_TOKEN, WORKGROUP.
// Grid: ceil(params.rows / WORKGROUP) along x, step.n_rows (or more) along y.
// Bindings: 0 params, 1 down f32 [t][s][params.rows], 2 step, 3 expert_weights f32 [t][s], 4 residual, 5 moe_out,
//   6 layer_out, all f32 [t][params.rows].

struct Params {
  rows: u32,  // the hidden size
}

struct Step {
  n_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> down: array<f32>;
@group(0) @binding(2) var<storage, read> step: Step;
@group(0) @binding(3) var<storage, read> expert_weights: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> moe_out: array<f32>;
@group(0) @binding(6) var<storage, read_write> layer_out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
  let h = thread.x;
  let token = thread.y;
  if (h >= params.rows || token >= step.n_rows) {
    return;
  }
  var sum = 0.0;
  for (var s = 0u; s < EXPERTS_PER_TOKEN; s++) {
    let slot = token * EXPERTS_PER_TOKEN + s;
    sum = fma(expert_weights[slot], down[slot * params.rows + h], sum);
  }
  let at = token * params.rows + h;
  moe_out[at] = sum;
  layer_out[at] = residual[at] + sum;
}
