// Activations as 8-bit blocks of 32 (quantize_rows.wgsl): products are summed in integers within a block.
// Comes after quant_common.wgsl and before activations_* and the quant_<type>.wgsl, which must be one with an integer dot.
// Constants: COLUMNS, a multiple of 32.
alias Loaded = Packed;

struct Activations {
  a: vec4<u32>,
  b: vec4<u32>,
  scale: f32,
  sum: f32,
}

fn loaded(unit: Packed) -> Loaded {
  return unit;
}

fn dot_packed(q: vec4<u32>, v: vec4<u32>) -> i32 {
  return dot4I8Packed(q.x, v.x) + dot4I8Packed(q.y, v.y) + dot4I8Packed(q.z, v.z) + dot4I8Packed(q.w, v.w);
}

// sum + w · v. gemm_fast.wgsl computes the same, operation by operation, so that both give the same bits: what a
// compiler could fuse is fused here. `scales` is the type's weights_unit_scales.
fn add_unit(w: Loaded, v: Activations, scales: u32, sum: f32) -> f32 {
  var result: f32;
  if (scales == 2u) {
    let products = fma(w.scale.x, f32(dot_packed(w.a, v.a)), w.scale.y * f32(dot_packed(w.b, v.b)));
    result = fma(products, v.scale, sum);
  } else {
    result = fma(f32(dot_packed(w.a, v.a) + dot_packed(w.b, v.b)), w.scale.x * v.scale, sum);
  }
  return fma(-w.min.x, v.sum, result);
}
