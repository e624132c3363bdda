// Q5_K rows: nibbles, a header a super-block (d, dmin, scales and mins), bits: x = d·scale·q − dmin·min, with a scale
// and a min for each unit.
// Needs quant_common.wgsl and a numerics file.

const weights_bits: u32 = UNITS + BLOCKS;
const weights_stride: u32 = weights_bits + UNIT_PLANE_4;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 1u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let quants = weights[row + unit];
  let scale = k_scale_and_min(weights[row + UNITS + unit / 8u], unit % 8u);
  let bits = weights[row + weights_bits + unit / 4u][unit % 4u];
  let a = low_nibbles(quants) | (spread_bits(bits, 0u) << vec4(4u));
  let b = high_nibbles(quants) | (spread_bits(bits, 1u) << vec4(4u));
  return loaded(Packed(a, b, scale.xx, scale.yy));
}
