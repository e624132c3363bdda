// IQ4_NL rows: nibbles, then a half d a unit: x = d·level[q].
// Needs quant_common.wgsl and a numerics file.

// Level of each nibble (the low halves of the bytes), as signed bytes.
const weights_levels = array<u32, 4>(0xBFAD9881u, 0xF6EADDCFu, 0x26190D01u, 0x71594535u);

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

const weights_stride: u32 = UNITS + UNIT_PLANE_2;
const weights_unit_scales: u32 = 1u;
const weights_unit_minima: u32 = 0u;

fn weights_load(row: u32, unit: u32) -> Loaded {
  let quants = weights[row + unit];
  let d = half_of(weights[row + UNITS + unit / 8u][unit / 2u % 4u], unit);
  return loaded(Packed(weights_levels16(low_nibbles(quants)), weights_levels16(high_nibbles(quants)), vec2(d),
                       vec2(0.0)));
}
