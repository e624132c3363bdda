// silu(gate) · up, the same bits wherever it is computed. The exponential never overflows.

fn swiglu(gate: f32, up: f32) -> f32 {
  let e = exp(-abs(gate));
  return gate * select(1.0, e, gate < 0.0) / (1.0 + e) * up;
}
