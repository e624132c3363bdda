// Activations as 8-bit blocks of 32 (quantize_rows.wgsl): products are summed in integers within a block.
// Comes after quant_common.wgsl and before the quant_<type>.wgsl, which must be one with an integer dot.
// Constants: COLUMNS, a multiple of 32.
// A row of the kernel's activations may be several such rows, whose sum it is (TERMS, matvec_multiply.wgsl).
// Binding 1: x [rows][X_STRIDE] vec4<u32>, a row being three planes: columns 0 .. 15 of every unit as bytes, columns
// 16 .. 31, then per unit its scale d and d·(sum of its integers) as f32.

alias Loaded = Packed;

struct Activations {
  a: vec4<u32>,
  b: vec4<u32>,
  scale: f32,
  sum: f32,
}

const X_STRIDE: u32 = 2u * UNITS + UNIT_PLANE_8;

@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

fn loaded(unit: Packed) -> Loaded {
  return unit;
}

fn load_activations(row: u32, unit: u32) -> Activations {
  let at = row * X_STRIDE + unit;
  let tail = row * X_STRIDE + 2u * UNITS + unit / 2u;
  let k = 2u * (unit % 2u);
  return Activations(x[at], x[at + UNITS], bitcast<f32>(x[tail][k]), bitcast<f32>(x[tail][k + 1u]));
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
