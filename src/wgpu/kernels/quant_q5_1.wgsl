// Q5_1 rows: nibbles, bits, then halves d and m a unit: x = d·q + m.
// Needs quant_common.wgsl and a numerics file.

const weights_bits: u32 = UNITS;
const weights_scales: u32 = weights_bits + UNIT_PLANE_4;
const weights_stride: u32 = weights_scales + UNIT_PLANE_4;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 1u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let quants = weights[row + unit];
  let bits = weights[row + weights_bits + unit / 4u][unit % 4u];
  let dm = unpack2x16float(weights[row + weights_scales + unit / 4u][unit % 4u]);
  let a = low_nibbles(quants) | (spread_bits(bits, 0u) << vec4(4u));
  let b = high_nibbles(quants) | (spread_bits(bits, 1u) << vec4(4u));
  return loaded(Packed(a, b, vec2(dm.x), vec2(-dm.y)));
}
