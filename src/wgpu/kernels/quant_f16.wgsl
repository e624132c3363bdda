// F16 rows: 4 planes of eight columns a unit.
// Needs quant_common.wgsl and numerics_exact.wgsl.

const weights_stride: u32 = 4u * UNITS;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let p0 = weights[row + unit];
  let p1 = weights[row + unit + UNITS];
  let p2 = weights[row + unit + 2u * UNITS];
  let p3 = weights[row + unit + 3u * UNITS];
  return Loaded(mat4x4(vec4(unpack2x16float(p0.x), unpack2x16float(p0.y)), vec4(unpack2x16float(p0.z), unpack2x16float(p0.w)),
                       vec4(unpack2x16float(p1.x), unpack2x16float(p1.y)), vec4(unpack2x16float(p1.z), unpack2x16float(p1.w))),
                mat4x4(vec4(unpack2x16float(p2.x), unpack2x16float(p2.y)), vec4(unpack2x16float(p2.z), unpack2x16float(p2.w)),
                       vec4(unpack2x16float(p3.x), unpack2x16float(p3.y)), vec4(unpack2x16float(p3.z), unpack2x16float(p3.w))));
}
