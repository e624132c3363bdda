// IQ3_S rows: low 8 bits of 8 indices a unit, 4 bytes of signs, a byte of the indices' topmost bits, then 4 bits of s a
// unit and a half d a super-block: x = d·(2s + 1)·q.
// Needs quant_common.wgsl and a numerics file.

const weights_signs: u32 = UNIT_PLANE_8;
const weights_high: u32 = weights_signs + UNIT_PLANE_4;
const weights_scales: u32 = weights_high + UNIT_PLANE_1;
const weights_d: u32 = weights_scales + BLOCK_PLANE_4;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

const weights_book: u32 = 64u;

fn weights_point(index: u32) -> u32 {
  let word = weights[arrayLength(&weights) - weights_book + index / 8u][index / 2u % 4u];
  return (word >> (16u * (index % 2u))) & 0xFFFFu;
}

fn weights_index(low: u32, high: u32) -> u32 {
  return (low & 0xFFu) | ((high & 1u) << 8u);
}

fn weights_group(low: u32, high: u32, signs: u32) -> vec2<u32> {
  let digits = vec2(four_digits(weights_point(weights_index(low, high))),
                    four_digits(weights_point(weights_index(low >> 8u, high >> 1u))));
  return negate_bytes(2u * digits + vec2(0x01010101u), signs & 0xFFu);
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let quants = weights[row + unit / 2u];
  let low = select(quants.xy, quants.zw, unit % 2u == 1u);
  let signs = weights[row + weights_signs + unit / 4u][unit % 4u];
  let high = weights[row + weights_high + unit / 16u][unit / 4u % 4u] >> (8u * (unit % 4u));
  let s = (weights[row + weights_scales + block / 4u][block % 4u] >> (4u * (unit % 8u))) & 15u;
  let d = half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  return loaded(Packed(
      vec4(weights_group(low.x, high, signs), weights_group(low.x >> 16u, high >> 2u, signs >> 8u)),
      vec4(weights_group(low.y, high >> 4u, signs >> 16u), weights_group(low.y >> 16u, high >> 6u, signs >> 24u)),
      vec2(odd_scale(d, s)), vec2(0.0)));
}
