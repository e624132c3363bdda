// Q8_0 rows: two planes of 16 bytes a unit, then a half d: x = d·q.
// Needs quant_common.wgsl and a numerics file.

const weights_stride: u32 = 2u * UNITS + UNIT_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let d = half_of(weights[row + 2u * UNITS + unit / 8u][unit / 2u % 4u], unit);
  return loaded(Packed(weights[row + unit], weights[row + UNITS + unit], vec2(d), vec2(0.0)));
}
