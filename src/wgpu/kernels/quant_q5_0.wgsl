// Q5_0 rows: nibbles, bits, then a half d a unit: x = d·(q − 16).
// Needs quant_common.wgsl and a numerics file.

const weights_bits: u32 = UNITS;
const weights_scales: u32 = weights_bits + UNIT_PLANE_4;
const weights_stride: u32 = weights_scales + UNIT_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let quants = weights[row + unit];
  let bits = weights[row + weights_bits + unit / 4u][unit % 4u];
  let d = half_of(weights[row + weights_scales + unit / 8u][unit / 2u % 4u], unit);
  let a = low_nibbles(quants) | (spread_bits(bits, 0u) << vec4(4u));
  let b = high_nibbles(quants) | (spread_bits(bits, 1u) << vec4(4u));
  return loaded(Packed(subtract_bytes(a, 16u), subtract_bytes(b, 16u), vec2(d), vec2(0.0)));
}
