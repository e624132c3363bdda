// IQ2_S rows: 4 bytes a unit of indices (low 8 bits), 4 of signs, a byte of upper two bits of the indices, a byte of s
// of each half, then a half d a super-block: x = d·(2s + 1)/8·q, with a scale for each 16 columns.
// Needs quant_common.wgsl and a numerics file.

const weights_signs: u32 = UNIT_PLANE_4;
const weights_high: u32 = weights_signs + UNIT_PLANE_4;
const weights_scales: u32 = weights_high + UNIT_PLANE_1;
const weights_d: u32 = weights_scales + UNIT_PLANE_1;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 2u;
const weights_unit_minima: u32 = 0u;

const weights_book: u32 = 128u;

fn weights_point(index: u32) -> u32 {
  let word = weights[arrayLength(&weights) - weights_book + index / 8u][index / 2u % 4u];
  return (word >> (16u * (index % 2u))) & 0xFFFFu;
}

fn weights_group(low: u32, high: u32, signs: u32, g: u32) -> vec2<u32> {
  let index = ((low >> (8u * g)) & 0xFFu) | (((high >> (2u * g)) & 3u) << 8u);
  return negate_bytes(iq2_levels(eight_digits(weights_point(index))), (signs >> (8u * g)) & 0xFFu);
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let low = weights[row + unit / 4u][unit % 4u];
  let signs = weights[row + weights_signs + unit / 4u][unit % 4u];
  let byte = 8u * (unit % 4u);
  let high = weights[row + weights_high + unit / 16u][unit / 4u % 4u] >> byte;
  let s = weights[row + weights_scales + unit / 16u][unit / 4u % 4u] >> byte;
  let d = 0.125 * half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  return loaded(Packed(vec4(weights_group(low, high, signs, 0u), weights_group(low, high, signs, 1u)),
                       vec4(weights_group(low, high, signs, 2u), weights_group(low, high, signs, 3u)),
                       vec2(odd_scale(d, s & 15u), odd_scale(d, (s >> 4u) & 15u)), vec2(0.0)));
}
