// IQ1_S rows: 4 bytes a unit of indices (low 8 bits), 2 bytes a unit (their upper three bits, s of 3, the shift bit),
// then a half d a super-block: x = d·(2s + 1)/8·q.
// Needs quant_common.wgsl and a numerics file.

const weights_high: u32 = UNIT_PLANE_4;
const weights_d: u32 = weights_high + UNIT_PLANE_2;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

const weights_book: u32 = 256u;

fn weights_point(index: u32) -> u32 {
  let word = weights[arrayLength(&weights) - weights_book + index / 8u][index / 2u % 4u];
  return (word >> (16u * (index % 2u))) & 0xFFFFu;
}

fn weights_group(low: u32, high: u32, g: u32) -> vec2<u32> {
  let index = ((low >> (8u * g)) & 0xFFu) | (((high >> (3u * g)) & 7u) << 8u);
  return iq1_eighths(weights_point(index), (high >> 15u) & 1u);
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let low = weights[row + unit / 4u][unit % 4u];
  let high = weights[row + weights_high + unit / 8u][unit / 2u % 4u] >> (16u * (unit % 2u));
  let d = 0.125 * half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  return loaded(Packed(vec4(weights_group(low, high, 0u), weights_group(low, high, 1u)),
                       vec4(weights_group(low, high, 2u), weights_group(low, high, 3u)),
                       vec2(odd_scale(d, (high >> 12u) & 7u)), vec2(0.0)));
}
