// MXFP4 rows: nibbles, then a byte e a unit: x = 2^(e − 128)·level[q], levels being twice the E2M1 values.
// Needs quant_common.wgsl and a numerics file.

// Level of each nibble (the low halves of the bytes), as signed bytes.
const weights_levels = array<u32, 4>(0x03020100u, 0x0C080604u, 0xFDFEFF00u, 0xF4F8FAFCu);

fn weights_level(nibble: u32) -> u32 {
  return (weights_levels[nibble >> 2u] >> (8u * (nibble & 3u))) & 0xFFu;
}

fn weights_levels4(q: u32) -> u32 {
  return weights_level(q & 15u) | (weights_level((q >> 8u) & 15u) << 8u) |
         (weights_level((q >> 16u) & 15u) << 16u) | (weights_level((q >> 24u) & 15u) << 24u);
}

fn weights_levels16(q: vec4<u32>) -> vec4<u32> {
  return vec4(weights_levels4(q.x), weights_levels4(q.y), weights_levels4(q.z), weights_levels4(q.w));
}

const weights_stride: u32 = UNITS + UNIT_PLANE_1;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let quants = weights[row + unit];
  let e = (weights[row + UNITS + unit / 16u][unit / 4u % 4u] >> (8u * (unit % 4u))) & 0xFFu;
  // The two smallest scales are subnormal.
  let scale = bitcast<f32>(select((e - 1u) << 23u, 0x00200000u << (e & 1u), e < 2u));
  return loaded(Packed(weights_levels16(low_nibbles(quants)), weights_levels16(high_nibbles(quants)), vec2(scale),
                       vec2(0.0)));
}
