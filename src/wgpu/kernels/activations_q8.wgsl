// The activations of numerics_fast.wgsl from memory.
// A row of the kernel's activations may be several such rows, whose sum it is (TERMS, matvec_multiply.wgsl).
// Binding 1: x [rows][X_STRIDE] vec4<u32>, a row being three planes: columns 0 .. 15 of every unit as bytes, columns
// 16 .. 31, then per unit its scale d and d·(sum of its integers) as f32.

const X_STRIDE: u32 = 2u * UNITS + UNIT_PLANE_8;

@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

fn load_activations(row: u32, unit: u32) -> Activations {
  let at = row * X_STRIDE + unit;
  let tail = row * X_STRIDE + 2u * UNITS + unit / 2u;
  let k = 2u * (unit % 2u);
  return Activations(x[at], x[at + UNITS], bitcast<f32>(x[tail][k]), bitcast<f32>(x[tail][k + 1u]));
}
