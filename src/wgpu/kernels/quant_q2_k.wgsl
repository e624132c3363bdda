// Q2_K rows: pairs, 16 bytes of scales (low half) and mins (high half) a super-block, then halves d and dmin:
// x = d·scale·q − dmin·min, for each 16 columns.
// Needs quant_common.wgsl and numerics_exact.wgsl (two minima a unit).

const weights_scales: u32 = UNIT_PLANE_8;
const weights_d: u32 = weights_scales + BLOCKS;
const weights_stride: u32 = weights_d + BLOCK_PLANE_4;
const weights_unit_scales: u32 = 2u;
const weights_unit_minima: u32 = 1u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let block = unit / 8u;
  let at = row + unit / 2u;
  let k = 2u * (unit % 2u);
  let bytes = vec2(weights[row + weights_scales + block][unit / 2u % 4u] >> (16u * (unit % 2u))) >> vec2(0u, 8u);
  let d = unpack2x16float(weights[row + weights_d + block / 4u][block % 4u]);
  return loaded(Packed(spread_pairs(weights[at][k]), spread_pairs(weights[at][k + 1u]),
                       d.x * vec2<f32>(bytes & vec2(15u)), d.y * vec2<f32>((bytes >> vec2(4u)) & vec2(15u))));
}
