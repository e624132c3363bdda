// IQ2_XXS rows: 8 bytes a unit (four indices, then a word of four signs of 7 bits and s of 4), then a half d a
// super-block: x = d·(2s + 1)/8·q.
// Needs quant_common.wgsl and a numerics file.

const weights_d: u32 = UNIT_PLANE_8;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

const weights_book: u32 = 32u;

fn weights_point(index: u32) -> u32 {
  let word = weights[arrayLength(&weights) - weights_book + index / 8u][index / 2u % 4u];
  return (word >> (16u * (index % 2u))) & 0xFFFFu;
}

fn weights_group(indices: u32, signs: u32, g: u32) -> vec2<u32> {
  let levels = iq2_levels(eight_digits(weights_point((indices >> (8u * g)) & 0xFFu)));
  return negate_bytes(levels, with_parity((signs >> (7u * g)) & 127u));
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let quants = weights[row + unit / 2u];
  let own = select(quants.xy, quants.zw, unit % 2u == 1u);
  let d = 0.125 * half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  return loaded(Packed(vec4(weights_group(own.x, own.y, 0u), weights_group(own.x, own.y, 1u)),
                       vec4(weights_group(own.x, own.y, 2u), weights_group(own.x, own.y, 3u)),
                       vec2(odd_scale(d, own.y >> 28u)), vec2(0.0)));
}
