// IQ2_XS rows: 8 bytes a unit (four times an index of 9 bits and signs of 7), a byte a unit (s of each half), then a
// half d a super-block: x = d·(2s + 1)/8·q, with a scale for each 16 columns.
// Needs quant_common.wgsl and a numerics file.

const weights_scales: u32 = UNIT_PLANE_8;
const weights_d: u32 = weights_scales + UNIT_PLANE_1;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 2u;
const weights_unit_minima: u32 = 0u;

const weights_book: u32 = 64u;

fn weights_point(index: u32) -> u32 {
  let word = weights[arrayLength(&weights) - weights_book + index / 8u][index / 2u % 4u];
  return (word >> (16u * (index % 2u))) & 0xFFFFu;
}

fn weights_group(bits: u32) -> vec2<u32> {
  return negate_bytes(iq2_levels(eight_digits(weights_point(bits & 511u))), with_parity((bits >> 9u) & 127u));
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let quants = weights[row + unit / 2u];
  let own = select(quants.xy, quants.zw, unit % 2u == 1u);
  let s = weights[row + weights_scales + unit / 16u][unit / 4u % 4u] >> (8u * (unit % 4u));
  let d = 0.125 * half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  return loaded(Packed(vec4(weights_group(own.x), weights_group(own.x >> 16u)),
                       vec4(weights_group(own.y), weights_group(own.y >> 16u)),
                       vec2(odd_scale(d, s & 15u), odd_scale(d, (s >> 4u) & 15u)), vec2(0.0)));
}
