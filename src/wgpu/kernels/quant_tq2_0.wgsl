// TQ2_0 rows: pairs, then a half d a super-block: x = d·(q − 1).
// Needs quant_common.wgsl and a numerics file.

const weights_d: u32 = UNIT_PLANE_8;
const weights_stride: u32 = weights_d + BLOCK_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let quants = weights[row + unit / 2u];
  let own = select(quants.xy, quants.zw, unit % 2u == 1u);
  let d = half_of(weights[row + weights_d + block / 8u][block / 2u % 4u], block);
  return loaded(Packed(subtract_bytes(spread_pairs(own.x), 1u), subtract_bytes(spread_pairs(own.y), 1u), vec2(d),
                       vec2(0.0)));
}
