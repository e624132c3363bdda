// Q6_K rows: nibbles, pairs, 16 signed scales a super-block, then its half d: x = d·scale·(q − 32), with a scale for
// each 16 columns.
// Needs quant_common.wgsl and a numerics file.

const weights_pairs: u32 = UNITS;
const weights_scales: u32 = weights_pairs + UNIT_PLANE_8;
const weights_d: u32 = weights_scales + BLOCKS;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 2u;
const weights_unit_minima: u32 = 0u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let quants = weights[row + unit];
  let at = row + weights_pairs + unit / 2u;
  let k = 2u * (unit % 2u);
  let a = low_nibbles(quants) | (spread_pairs(weights[at][k]) << vec4(4u));
  let b = high_nibbles(quants) | (spread_pairs(weights[at][k + 1u]) << vec4(4u));
  let bytes = bitcast<i32>(weights[row + weights_scales + block][unit / 2u % 4u] << (16u * (1u - unit % 2u)));
  let scale = vec2<f32>(vec2((bytes << 8u) >> 24u, bytes >> 24u));
  let d = half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  return loaded(Packed(subtract_bytes(a, 32u), subtract_bytes(b, 32u), d * scale, vec2(0.0)));
}
