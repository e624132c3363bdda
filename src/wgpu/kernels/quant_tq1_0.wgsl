// TQ1_0 rows: 48 bytes a super-block of five digits each, 4 bytes of four digits, then a half d a super-block:
// x = d·(digit − 1). Digit n of byte b is 3·(b·3ⁿ mod 256)/256.
// Needs quant_common.wgsl and a numerics file.

const weights_last: u32 = 3u * BLOCKS;
const weights_d: u32 = weights_last + BLOCK_PLANE_4;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

const weights_powers = array<u32, 5>(1u, 3u, 9u, 27u, 81u);

// In two of four bytes at a time, which leaves each room for its product.
fn weights_digits_of_two(bytes: vec4<u32>, power: vec4<u32>) -> vec4<u32> {
  let fractions = ((bytes & vec4(0x00FF00FFu)) * power) & vec4(0x00FF00FFu);
  return ((3u * fractions) >> vec4(8u)) & vec4(0x00030003u);
}

fn weights_digits(bytes: vec4<u32>, power: vec4<u32>) -> vec4<u32> {
  let both = weights_digits_of_two(bytes, power) | (weights_digits_of_two(bytes >> vec4(8u), power) << vec4(8u));
  return subtract_bytes(both, 1u);
}

// 16 columns of those behind 160: half unit t there.
fn weights_late(row: u32, block: u32, t: u32) -> vec4<u32> {
  if (t < 5u) {
    return weights_digits(weights[row + 3u * block + 2u], vec4(weights_powers[t]));
  }
  return weights_digits(vec4(weights[row + weights_last + block / 4u][block % 4u]), vec4(1u, 3u, 9u, 27u));
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let s = unit % 8u;
  let d = half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  if (s >= 5u) {
    let t = 2u * (s - 5u);
    return loaded(Packed(weights_late(row, block, t), weights_late(row, block, t + 1u), vec2(d), vec2(0.0)));
  }
  let power = vec4(weights_powers[s]);
  return loaded(Packed(weights_digits(weights[row + 3u * block], power),
                       weights_digits(weights[row + 3u * block + 1u], power), vec2(d), vec2(0.0)));
}
