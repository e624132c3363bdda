// BF16 rows: 4 planes of eight columns a unit.
// Needs quant_common.wgsl and numerics_exact.wgsl.

const weights_stride: u32 = 4u * UNITS;

fn weights_pair(word: u32) -> vec2<f32> {
  return bitcast<vec2<f32>>(vec2(word << 16u, word & 0xFFFF0000u));
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let p0 = weights[row + unit];
  let p1 = weights[row + unit + UNITS];
  let p2 = weights[row + unit + 2u * UNITS];
  let p3 = weights[row + unit + 3u * UNITS];
  return Loaded(mat4x4(vec4(weights_pair(p0.x), weights_pair(p0.y)), vec4(weights_pair(p0.z), weights_pair(p0.w)),
                       vec4(weights_pair(p1.x), weights_pair(p1.y)), vec4(weights_pair(p1.z), weights_pair(p1.w))),
                mat4x4(vec4(weights_pair(p2.x), weights_pair(p2.y)), vec4(weights_pair(p2.z), weights_pair(p2.w)),
                       vec4(weights_pair(p3.x), weights_pair(p3.y)), vec4(weights_pair(p3.z), weights_pair(p3.w))));
}
