// BF16 rows: 4 planes of eight columns a unit.
// Needs quant_common.wgsl and numerics_exact.wgsl.

const weights_stride: u32 = 4u * UNITS;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

fn weights_four(words: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4(words.x << 16u, words.x & 0xFFFF0000u, words.y << 16u, words.y & 0xFFFF0000u));
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let p0 = weights[row + unit];
  let p1 = weights[row + unit + UNITS];
  let p2 = weights[row + unit + 2u * UNITS];
  let p3 = weights[row + unit + 3u * UNITS];
  return Loaded(mat4x4(weights_four(p0.xy), weights_four(p0.zw), weights_four(p1.xy), weights_four(p1.zw)),
                mat4x4(weights_four(p2.xy), weights_four(p2.zw), weights_four(p3.xy), weights_four(p3.zw)));
}
