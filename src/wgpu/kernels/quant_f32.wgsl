// F32 rows: 8 planes of four columns a unit.
// Needs quant_common.wgsl and numerics_exact.wgsl.

const weights_stride: u32 = 8u * UNITS;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let at = row + unit;
  return Loaded(mat4x4(bitcast<vec4<f32>>(weights[at]), bitcast<vec4<f32>>(weights[at + UNITS]),
                       bitcast<vec4<f32>>(weights[at + 2u * UNITS]), bitcast<vec4<f32>>(weights[at + 3u * UNITS])),
                mat4x4(bitcast<vec4<f32>>(weights[at + 4u * UNITS]), bitcast<vec4<f32>>(weights[at + 5u * UNITS]),
                       bitcast<vec4<f32>>(weights[at + 6u * UNITS]), bitcast<vec4<f32>>(weights[at + 7u * UNITS])));
}
