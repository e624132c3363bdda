// silu(gate) · up, the same bits wherever it is computed.

fn swiglu(gate: f32, up: f32) -> f32 {
  return gate / (1.0 + exp(min(-gate, 80.0))) * up;
}
