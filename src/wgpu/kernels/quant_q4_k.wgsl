// Q4_K rows: nibbles, then a header a super-block (d, dmin, scales and mins): x = d·scale·q − dmin·min, with a scale
// and a min for each unit.
// Needs quant_common.wgsl and a numerics file.

const weights_stride: u32 = UNITS + BLOCKS;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 1u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let quants = weights[row + unit];
  let scale = k_scale_and_min(weights[row + UNITS + unit / 8u], unit % 8u);
  return loaded(Packed(low_nibbles(quants), high_nibbles(quants), scale.xx, scale.yy));
}
