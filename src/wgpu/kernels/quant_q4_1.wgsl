// Q4_1 rows: nibbles, then halves d and m a unit: x = d·q + m.
// Needs quant_common.wgsl and a numerics file.

const weights_stride: u32 = UNITS + UNIT_PLANE_4;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 1u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let quants = weights[row + unit];
  let dm = unpack2x16float(weights[row + UNITS + unit / 4u][unit % 4u]);
  return loaded(Packed(low_nibbles(quants), high_nibbles(quants), vec2(dm.x), vec2(-dm.y)));
}
