// IQ1_M rows: 4 bytes a unit of indices (low 8 bits), 2 bytes a unit (four times their upper three bits and a shift
// bit), then 8 bytes a super-block: four times s of 3 bits for four halves of units, and 4 bits of the half d:
// x = d·(2s + 1)/8·q, with a scale for each 16 columns.
// Needs quant_common.wgsl and a numerics file.

const weights_high: u32 = UNIT_PLANE_4;
const weights_scales: u32 = weights_high + UNIT_PLANE_2;
const weights_stride: u32 = weights_scales + BLOCK_PLANE_8;
const weights_unit_scales: u32 = 2u;
const weights_unit_minima: u32 = 0u;

const weights_book: u32 = 256u;

fn weights_point(index: u32) -> u32 {
  let word = weights[arrayLength(&weights) - weights_book + index / 8u][index / 2u % 4u];
  return (word >> (16u * (index % 2u))) & 0xFFFFu;
}

fn weights_group(low: u32, high: u32, g: u32) -> vec2<u32> {
  let index = ((low >> (8u * g)) & 0xFFu) | (((high >> (4u * g)) & 7u) << 8u);
  return iq1_eighths(weights_point(index), (high >> (4u * g + 3u)) & 1u);
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let low = weights[row + unit / 4u][unit % 4u];
  let high = weights[row + weights_high + unit / 8u][unit / 2u % 4u] >> (16u * (unit % 2u));
  let both = weights[row + weights_scales + block / 2u];
  let words = select(both.xy, both.zw, block % 2u == 1u);
  let d = 0.125 * unpack2x16float(((words.x >> 12u) & 0xFu) | ((words.x >> 24u) & 0xF0u) |
                                  ((words.y >> 4u) & 0xF00u) | ((words.y >> 16u) & 0xF000u)).x;
  let s = words[unit / 4u % 2u] >> (16u * (unit / 2u % 2u) + 6u * (unit % 2u));
  return loaded(Packed(vec4(weights_group(low, high, 0u), weights_group(low, high, 1u)),
                       vec4(weights_group(low, high, 2u), weights_group(low, high, 3u)),
                       vec2(odd_scale(d, s & 7u), odd_scale(d, (s >> 3u) & 7u)), vec2(0.0)));
}
