// Q4_0 rows: nibbles, then a half d a unit: x = d·(q − 8).
// Needs quant_common.wgsl and a numerics file.

const weights_stride: u32 = UNITS + UNIT_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let quants = weights[row + unit];
  let d = half_of(weights[row + UNITS + unit / 8u][unit / 2u % 4u], unit);
  return loaded(Packed(subtract_bytes(low_nibbles(quants), 8u), subtract_bytes(high_nibbles(quants), 8u), vec2(d),
                       vec2(0.0)));
}
