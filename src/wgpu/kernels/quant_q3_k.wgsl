// Q3_K rows: pairs, bits, 12 bytes of six-bit scales a super-block, then its half d: x = d·(scale − 32)·(q − 4), with
// a scale for each 16 columns.
// Needs quant_common.wgsl and a numerics file.

const weights_bits: u32 = UNIT_PLANE_8;
const weights_scales: u32 = weights_bits + UNIT_PLANE_4;
const weights_d: u32 = weights_scales + BLOCK_PLANE_12;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 2u;
const weights_unit_minima: u32 = 0u;

// Word `i` of a super-block's scales.
fn weights_scale_word(row: u32, block: u32, i: u32) -> u32 {
  let word = 3u * block + i;
  return weights[row + weights_scales + word / 4u][word % 4u];
}

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  // Scales 2s and 2s + 1: low four bits in nibble (s / 4) of bytes 2s % 8 and on, upper two at bits 2 (s / 2) of
  // bytes 8 + 2s % 4 and on.
  let s = unit % 8u;
  let bytes = vec2(16u * (s % 2u)) + vec2(0u, 8u);
  let low = (vec2(weights_scale_word(row, block, s / 2u % 2u)) >> (bytes + vec2(4u * (s / 4u)))) & vec2(15u);
  let high = (vec2(weights_scale_word(row, block, 2u)) >> (bytes + vec2(2u * (s / 2u)))) & vec2(3u);
  let scale = vec2<f32>(low | (high << vec2(4u))) - vec2(32.0);
  let d = half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);

  let bits = weights[row + weights_bits + unit / 4u][unit % 4u];
  let at = row + unit / 2u;
  let k = 2u * (unit % 2u);
  let a = spread_pairs(weights[at][k]) | (spread_bits(bits, 0u) << vec4(2u));
  let b = spread_pairs(weights[at][k + 1u]) | (spread_bits(bits, 1u) << vec4(2u));
  return loaded(Packed(subtract_bytes(a, 4u), subtract_bytes(b, 4u), d * scale, vec2(0.0)));
}
