// IQ3_XXS rows: 8 indices of a byte a unit, a word of four signs of 7 bits and s of 4, then a half d a super-block:
// x = d·(2s + 1)/4·q.
// Needs quant_common.wgsl and a numerics file.

const weights_signs: u32 = UNIT_PLANE_8;
const weights_d: u32 = weights_signs + UNIT_PLANE_4;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

const weights_book: u32 = 32u;

fn weights_point(index: u32) -> u32 {
  let word = weights[arrayLength(&weights) - weights_book + index / 8u][index / 2u % 4u];
  return (word >> (16u * (index % 2u))) & 0xFFFFu;
}

// 4, 12, 20, 28, 36, 44, 52, 62
fn weights_levels(digits: vec2<u32>) -> vec2<u32> {
  let last = ((digits + vec2(0x01010101u)) >> vec2(3u)) & vec2(0x01010101u);
  return 8u * digits + vec2(0x04040404u) + 2u * last;
}

fn weights_group(indices: u32, signs: u32) -> vec2<u32> {
  let digits = vec2(four_digits(weights_point(indices & 0xFFu)), four_digits(weights_point((indices >> 8u) & 0xFFu)));
  return negate_bytes(weights_levels(digits), with_parity(signs & 127u));
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let quants = weights[row + unit / 2u];
  let own = select(quants.xy, quants.zw, unit % 2u == 1u);
  let word = weights[row + weights_signs + unit / 4u][unit % 4u];
  let d = 0.25 * half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  return loaded(Packed(vec4(weights_group(own.x, word), weights_group(own.x >> 16u, word >> 7u)),
                       vec4(weights_group(own.y, word >> 14u), weights_group(own.y >> 16u, word >> 21u)),
                       vec2(odd_scale(d, word >> 28u)), vec2(0.0)));
}
